//! Keeping bindings alive at registrars (RFC 3261 §10.2).

use std::time::{Duration, Instant};

use rand::Rng;

use super::auth::Answerer;
use super::clients::{ClientId, Purpose};
use super::compose::{self, Outgoing};
use super::deadlines::{Owner, Reason};
use super::event::Event;
use super::settings::{Error, Register};
use super::{RegistrationHandle, Transmit, UserAgent};
use crate::digest::Attempts;
use crate::flow::Flow;
use crate::message::{Message, Method};
use crate::registration::{
    Registration, RegistrationState, granted_s, keep_alive_ms, longer_expires_s, refresh_after,
    retry_after, said, service_route,
};
use crate::uri::Uri;

impl UserAgent {
    /// Registers, and keeps the binding alive until [`unregister`](Self::unregister).
    ///
    /// # Errors
    /// A URI cannot be written into a message.
    pub fn register(
        &mut self,
        now: Instant,
        mut register: Register,
    ) -> Result<RegistrationHandle, Error> {
        compose::check_address("address-of-record", &register.aor)?;
        register.registrar_uri = without_user(&register.registrar_uri)?;
        let handle = RegistrationHandle(self.next_handle());
        let registration = Registration {
            answerer: Answerer::new(register.credentials.clone()),
            register,
            call_id: self.new_call_id(),
            tag: format!("{:016x}", self.rng.random::<u64>()),
            cseq: 0,
            state: RegistrationState::Waiting { retry_at: now },
            failures: 0,
            attempts: Attempts::default(),
            leaving: false,
            keep_alive_at: None,
            service_route: Vec::new(),
        };
        self.registrations.insert(handle, registration);
        self.send_register(now, handle);
        Ok(handle)
    }

    /// Takes a binding back; [`Event::Unregistered`] tells when that is done.
    pub fn unregister(&mut self, now: Instant, handle: RegistrationHandle) {
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        if registration.leaving {
            return;
        }
        registration.leaving = true;
        registration.attempts = Attempts::default();
        registration.keep_alive_at = None;
        match registration.state {
            // One REGISTER at a time (§10.2): the next one is sent when this is answered.
            RegistrationState::Asking { .. } => self.arm_registration(handle),
            _ => self.send_register(now, handle),
        }
    }

    /// Sends the next REGISTERs, and the keep-alives, over another flow: the registrar has moved,
    /// or answers no longer where it was (RFC 3263 §4.3). A binding that stands is made anew at
    /// once; after a failure the wait goes on.
    pub fn reroute_registration(&mut self, now: Instant, handle: RegistrationHandle, flow: Flow) {
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        if registration.register.flow == flow || registration.leaving {
            return;
        }
        registration.register.flow = flow;
        if let RegistrationState::Bound { .. } = registration.state {
            registration.keep_alive_at = None;
            self.send_register(now, handle);
        }
    }

    /// Returns the route that the registrar wants requests to take (RFC 3608): empty before it
    /// has said so.
    pub fn service_route(&self, handle: RegistrationHandle) -> &[String] {
        self.registrations
            .get(&handle)
            .map_or(&[], |registration| &registration.service_route)
    }

    fn send_register(&mut self, now: Instant, handle: RegistrationHandle) {
        let id = self.new_branch();
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        let register = &registration.register;
        let expires_s = if registration.leaving {
            0
        } else {
            register.expires_s
        };
        registration.cseq = registration.cseq.saturating_add(1);
        let takes_back = registration.leaving;
        registration.state = RegistrationState::Asking {
            client: id,
            takes_back,
        };
        let flow = register.flow;
        let mut outgoing = Outgoing::new(Method::Register, flow, id)
            .with("Expires", expires_s.to_string())
            .with("Supported", "path");
        outgoing.request_uri = register.registrar_uri.clone();
        outgoing.routes = register.route.clone();
        outgoing.from = compose::with_tag(&register.aor, &registration.tag);
        outgoing.to = compose::name_addr(&register.aor);
        outgoing.call_id = registration.call_id.clone();
        outgoing.cseq = registration.cseq;
        outgoing.contact_user = Some(register.contact_user.clone());
        outgoing.contact_params = format!(";expires={expires_s}");
        // A nonce from before answers at once, without a round trip.
        let draft = outgoing.write(&self.settings);
        let answers = draft
            .as_deref()
            .ok()
            .and_then(|draft| Message::parse(draft).ok())
            .map(|request| registration.answerer.authorize(&request, &mut self.rng));
        for (name, value) in answers.unwrap_or_default() {
            outgoing = outgoing.with(name.as_str(), value);
        }
        match outgoing.write(&self.settings) {
            Ok(bytes) => {
                let purpose = Purpose::Register(handle);
                self.open_client(now, id, flow, (Method::Register, bytes), purpose);
                self.arm_registration(handle);
            }
            Err(_) => self.register_failed(now, handle, (400, "Bad Request"), None),
        }
    }

    /// Takes a response to our REGISTER.
    pub(super) fn register_answered(
        &mut self,
        now: Instant,
        handle: RegistrationHandle,
        id: ClientId,
        message: &Message<'_>,
        status: u16,
    ) {
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        let RegistrationState::Asking { client, takes_back } = registration.state else {
            return;
        };
        if status < 200 || client != id {
            return;
        }
        if registration.leaving && !takes_back {
            return self.send_register(now, handle);
        }
        if (200..300).contains(&status) {
            return match takes_back {
                true => self.forget_registration(handle),
                false => self.bound(now, handle, message),
            };
        }
        let attempts = &mut registration.attempts;
        let again = match status {
            401 | 407 => {
                let request = self.clients.get(&id).map(|client| client.request.clone());
                let request = request.as_deref().and_then(|r| Message::parse(r).ok());
                request.is_some_and(|r| registration.answerer.take(&r, message, attempts))
            }
            423 => match longer_expires_s(message, registration.register.expires_s) {
                Some(expires_s) => {
                    registration.register.expires_s = expires_s;
                    attempts.once_more()
                }
                None => false,
            },
            _ => false,
        };
        if again {
            return self.send_register(now, handle);
        }
        let reason = compose::reason_phrase(message);
        self.register_failed(now, handle, (status, &reason), Some(message));
    }

    fn bound(&mut self, now: Instant, handle: RegistrationHandle, message: &Message<'_>) {
        let jitter = self.rng.random();
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        let register = &registration.register;
        let secure = compose::is_secure(&register.registrar_uri, &register.route);
        let user = (register.contact_user.as_str(), secure);
        let contact = compose::contact_uri(&self.settings, &register.flow, user);
        let expires_s = granted_s(message, &contact, register.expires_s);
        if expires_s == 0 {
            // Agreed to, and forgotten: nobody would call us there.
            let failure = (423, "Interval Too Brief");
            return self.register_failed(now, handle, failure, None);
        }
        registration.failures = 0;
        registration.attempts = Attempts::default();
        registration.service_route = service_route(message);
        let refresh_at = now + refresh_after(expires_s, jitter);
        registration.state = RegistrationState::Bound { refresh_at };
        let pause_ms = self.rng.random_range(keep_alive_ms(&register.flow));
        registration.keep_alive_at = Some(now + Duration::from_millis(pause_ms));
        self.emit(Event::Registered {
            registration: handle,
            expires_s,
        });
        self.arm_registration(handle);
    }

    /// A REGISTER failed: it is tried again later, or, if it was to take the binding back, never:
    /// the binding ends by itself.
    pub(super) fn register_failed(
        &mut self,
        now: Instant,
        handle: RegistrationHandle,
        (status, reason): (u16, &str),
        answer: Option<&Message<'_>>,
    ) {
        let jitter = self.rng.random();
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        if registration.leaving {
            return match registration.state {
                RegistrationState::Asking {
                    takes_back: false, ..
                } => {
                    self.send_register(now, handle);
                }
                _ => self.forget_registration(handle),
            };
        }
        registration.failures += 1;
        registration.attempts = Attempts::default();
        let asked_s = answer.and_then(Message::retry_after);
        let retry_in = retry_after(status, registration.failures, asked_s, jitter);
        registration.state = RegistrationState::Waiting {
            retry_at: now + retry_in,
        };
        let reason = reason.to_owned();
        self.emit(Event::RegistrationFailed {
            registration: handle,
            status,
            reason,
            said: answer.and_then(|answer| said(answer, status)),
            retry_in,
        });
        self.arm_registration(handle);
    }

    fn forget_registration(&mut self, handle: RegistrationHandle) {
        self.registrations.remove(&handle);
        self.deadlines.set(Owner::Registration(handle), None);
        self.emit(Event::Unregistered {
            registration: handle,
        });
    }

    /// Acts on a registration's timers.
    pub(super) fn registration_timeout(&mut self, now: Instant, handle: RegistrationHandle) {
        let Some(registration) = self.registrations.get_mut(&handle) else {
            return;
        };
        if registration.keep_alive_at.is_some_and(|at| at <= now) {
            let flow = registration.register.flow;
            let pause_ms = self.rng.random_range(keep_alive_ms(&flow));
            registration.keep_alive_at = Some(now + Duration::from_millis(pause_ms));
            self.send(Transmit {
                flow,
                bytes: (*b"\r\n\r\n").into(),
            });
        }
        let state = self
            .registrations
            .get(&handle)
            .map(|registration| registration.state);
        match state {
            Some(RegistrationState::Bound { refresh_at: at })
            | Some(RegistrationState::Waiting { retry_at: at })
                if at <= now =>
            {
                self.send_register(now, handle);
            }
            _ => self.arm_registration(handle),
        }
    }

    /// Binds anew what was bound over a connection that is gone (RFC 5626 §4.5), a little apart.
    pub(super) fn registrations_lost_flow(&mut self, now: Instant, flow: Flow) {
        let mut lost: Vec<RegistrationHandle> = self
            .registrations
            .iter()
            .filter(|(_, registration)| registration.register.flow == flow)
            .filter(|(_, registration)| {
                matches!(registration.state, RegistrationState::Bound { .. })
            })
            .map(|(&handle, _)| handle)
            .collect();
        lost.sort_unstable(); // a simulation must find one order only
        for handle in lost {
            let retry_at = now + Duration::from_millis(self.rng.random_range(100..=2000));
            if let Some(registration) = self.registrations.get_mut(&handle) {
                registration.state = RegistrationState::Waiting { retry_at };
                registration.keep_alive_at = None;
            }
            self.arm_registration(handle);
        }
    }

    fn arm_registration(&mut self, handle: RegistrationHandle) {
        let deadline = self.registrations.get(&handle).and_then(|registration| {
            let next = match registration.state {
                RegistrationState::Asking { .. } => None,
                RegistrationState::Bound { refresh_at: at }
                | RegistrationState::Waiting { retry_at: at } => Some((at, Reason::Register)),
            };
            let keep_alive = registration.keep_alive_at.map(|at| (at, Reason::KeepAlive));
            next.into_iter().chain(keep_alive).min_by_key(|&(at, _)| at)
        });
        self.deadlines.set(Owner::Registration(handle), deadline);
    }
}

/// Takes the user part off a registrar's URI, where it may not stand (RFC 3261 §10.2), and where
/// some registrars drop the request without a word.
fn without_user(text: &str) -> Result<String, Error> {
    let error = || Error::Unwritable {
        what: "registrar",
        text: text.to_owned(),
    };
    let uri = Uri::parse(text).map_err(|_| error())?;
    match text.split_once('@') {
        Some((_, rest)) if uri.is_sip() && uri.user.is_some() => {
            Ok(format!("{}:{rest}", uri.scheme.as_str()))
        }
        _ => Ok(text.to_owned()),
    }
}
