//! Calls and registrations that come in: who may, and how much (RFC 3261 §8.2, §13.3).

use std::time::Instant;

use super::calls::Call;
use super::event::{Event, Incoming, Party};
use super::provisional::Provisionals;
use super::respond::Reply;
use super::settings::{RELIABLE, Reliable, Settings};
use super::timer::{self, Session};
use super::{CallHandle, RequestHandle, UserAgent, compose};
use crate::access::{Admission, Source};
use crate::dialog::Dialog;
use crate::flow::Flow;
use crate::guard::Standing;
use crate::message::{HeaderName, Message, Method, NameAddr, OwnedMessage, Support};
use crate::uri::Scheme;

/// The extensions that we understand: reliable provisional responses, session timers, Replaces
/// (RFC 3891), and REFER without reports (RFC 4488).
pub(super) const OPTIONS: &[&str] = &[RELIABLE, timer::OPTION, "replaces", "norefersub"];

impl Settings {
    /// The same, as Supported lists them.
    pub(super) fn supported(&self) -> &'static str {
        match (self.takes_prack(), self.transfers) {
            (true, true) => "100rel, timer, replaces, norefersub",
            (true, false) => "100rel, timer",
            (false, _) => self.supported_without_prack(),
        }
    }

    /// The same where provisional responses are not to be reliable.
    pub(super) fn supported_without_prack(&self) -> &'static str {
        match self.transfers {
            true => "timer, replaces, norefersub",
            false => timer::OPTION,
        }
    }

    /// Whether provisional responses are acknowledged at all.
    pub(super) fn takes_prack(&self) -> bool {
        self.reliable != Reliable::Off
    }

    /// What a request that makes or changes a call may ask of us.
    pub(super) fn support(&self) -> Support<'static> {
        let first = usize::from(!self.takes_prack());
        let end = match self.transfers {
            true => OPTIONS.len(),
            false => 2,
        };
        Support {
            options: OPTIONS.get(first..end).unwrap_or_default(),
            ..SUPPORT
        }
    }
}

/// What an INVITE, UPDATE or REFER may ask of us.
pub(super) const SUPPORT: Support<'static> = Support {
    methods: &[
        Method::Invite,
        Method::Ack,
        Method::Cancel,
        Method::Bye,
        Method::Options,
        Method::Update,
        Method::Prack,
        Method::Info,
        Method::Refer,
        Method::Notify,
        Method::Register,
    ],
    options: OPTIONS,
    content_types: &[
        "application/sdp",
        "multipart/mixed",
        "multipart/alternative",
    ],
};

impl UserAgent {
    /// An INVITE that belongs to no dialog (RFC 3261 §13.3.1).
    pub(super) fn incoming_invite(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        let Some(merge_key) = self.first_copy(flow, message) else {
            return;
        };
        let Some(source) = self.admit(now, flow, message) else {
            return;
        };
        let checked = message.check_support(&self.settings.support());
        let checked = checked.and_then(|()| timer::check(&self.settings.session, message));
        let replaced = match checked.and_then(|()| self.replaced(message)) {
            Ok(replaced) => replaced,
            Err(refusal) => return self.refuse(flow, message, &refusal),
        };
        if self.calls.len() >= self.settings.max_calls || self.is_full() {
            self.reply_overloaded(flow, message);
            self.emit(Event::Overloaded);
            return;
        }
        let handle = self.new_call_handle();
        let dialog = match Dialog::uas(message, &handle.tag()) {
            Ok(dialog) => dialog,
            Err(error) => return self.refuse(flow, message, &error.into()),
        };
        let Some(invite) = incoming(flow, message, source, replaced) else {
            return;
        };
        let server = self.open_server(now, flow, message, (key.into(), Some(merge_key)));
        self.servers.assign(server, handle);
        self.reply_in(now, server, &Reply::new(100));
        let flow = Heard::asking(flow, message).next_flow(&dialog);
        let call = Call {
            phase: Call::ringing(now, server),
            dialog: Some(dialog),
            flow,
            // The peer has chosen the transport.
            stream: None,
            contact_user: contact_user(message),
            unacknowledged: Vec::new(),
            provisionals: Provisionals::of(message, &self.settings),
            peer_offer: None,
            info_refused: false,
            own_offer: None,
            own_refer: None,
            peer_refer: None,
            session: Session::new(&self.settings.session),
            owns_call_id: false,
            seeks_way: false,
        };
        self.calls.insert(handle, call);
        self.arm_call(handle);
        self.stats.calls_in += 1;
        self.emit(Event::Incoming {
            call: handle,
            invite: Box::new(invite),
        });
    }

    /// A REGISTER of a phone: admitted here, answered by the switch's registrar.
    pub(super) fn incoming_register(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        key: &[u8],
    ) {
        if !self.gate.has_users() {
            return self.unsupported(flow, message, Method::Register);
        }
        let Some(merge_key) = self.first_copy(flow, message) else {
            return;
        };
        let Some(source) = self.admit(now, flow, message) else {
            return;
        };
        if let Err(refusal) = message.check_support(&SUPPORT) {
            return self.refuse(flow, message, &refusal);
        }
        // A phone binds its own address-of-record and no other's (§10.3 step 4).
        let owns = message.to().is_ok_and(|to| match &source {
            Source::User(name) => to.uri.user_text() == name.as_str(),
            Source::Trunk(_) => false,
            Source::Local => true,
        });
        if !owns {
            self.stats.refused += 1;
            return self.reply(flow, message, &Reply::new(403));
        }
        if self.is_full() {
            return self.reply_overloaded(flow, message);
        }
        let server = self.open_server(now, flow, message, (key.into(), Some(merge_key)));
        self.emit(Event::Request {
            handle: RequestHandle(server),
            method: Method::Register.as_str().to_owned(),
            source,
            flow,
            message: OwnedMessage::from(message),
        });
    }

    /// Refuses a request that came before on another way, or that is our own come back
    /// (§8.2.2.2); returns the key by which the next copy is known.
    fn first_copy(&mut self, flow: Flow, message: &Message<'_>) -> Option<Box<[u8]>> {
        let merge_key = Self::merge_key_of(message)?;
        if self.servers.is_merged(&merge_key) || self.is_looped(message) {
            self.stats.loops += 1;
            self.reply(flow, message, &Reply::new(482));
            return None;
        }
        Some(merge_key)
    }

    /// Lets a request in, or answers it without keeping anything (§8.2.7, §22).
    fn admit(&mut self, now: Instant, flow: Flow, message: &Message<'_>) -> Option<Source> {
        match self.gate.admit(now, flow, message) {
            Admission::Admit(source) => {
                // Whoever answers our nonce has received it; the others are trusted already.
                if let Source::User(_) = source {
                    self.vouch(now, flow, Standing::Trusted);
                }
                return Some(source);
            }
            Admission::Challenge { headers, shortest } => {
                self.stats.challenged += 1;
                let reply = Reply::new(401).with_all(&headers);
                self.reply(flow, message, &reply.or_only(shortest));
            }
            Admission::WrongCredentials { username } => {
                self.stats.auth_failed += 1;
                self.reply(flow, message, &Reply::new(403));
                self.mistrust(now, flow);
                self.emit(Event::AuthenticationFailed { username, flow });
            }
            Admission::Refuse(status) => {
                self.stats.refused += 1;
                self.reply(flow, message, &Reply::new(status));
            }
        }
        None
    }
}

/// Reads what the switch is told about a call.
fn incoming(
    flow: Flow,
    message: &Message<'_>,
    source: Source,
    replaced: Option<(CallHandle, bool)>,
) -> Option<Incoming> {
    let offer = compose::session_description(message);
    let content_type = match &offer {
        Some(_) => Some("application/sdp".to_owned()),
        None => message.header(HeaderName::ContentType).map(str::to_owned),
    };
    Some(Incoming {
        request_uri: message.request_uri().ok()?.as_str().to_owned(),
        from: party(&message.from().ok()?),
        to: party(&message.to().ok()?),
        call_id: message.call_id().ok()?.to_owned(),
        headers: compose::fields(message),
        offer,
        content_type,
        replaces: replaced.map(|(call, _)| call),
        replaces_is_early_only: replaced.is_some_and(|(_, early_only)| early_only),
        source,
        flow,
    })
}

/// Returns the user part of our Contact in a call: the callee's, as it was written.
fn contact_user(message: &Message<'_>) -> String {
    let to = message.to().ok().map(|to| to.uri);
    let ours = to.filter(|uri| uri.is_sip() || uri.scheme == Scheme::Tel);
    ours.and_then(|uri| uri.user).unwrap_or_default().to_owned()
}

fn party(address: &NameAddr<'_>) -> Party {
    Party {
        display: address.display_name().into_owned(),
        uri: address.uri.as_str().to_owned(),
        user: address.uri.user_text().into_owned(),
    }
}

/// Where the peer was heard, and whether through NAT: its Via names another address than its
/// packet had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) flow: Flow,
    behind_nat: bool,
}

impl Heard {
    /// Where a request of the peer came from.
    pub(super) fn asking(flow: Flow, message: &Message<'_>) -> Self {
        let sent_by = message.top_via().ok().and_then(|via| via.host.address());
        let seen = flow.remote.ip().to_canonical();
        Self {
            flow,
            behind_nat: sent_by.is_some_and(|ip| ip.to_canonical() != seen),
        }
    }

    /// Where the peer answers from.
    pub(super) fn answering(flow: Flow) -> Self {
        Self {
            flow,
            behind_nat: false,
        }
    }

    /// Returns where our requests within a dialog go: see [`Dialog::flow`].
    pub(super) fn next_flow(self, dialog: &Dialog) -> Flow {
        if self.behind_nat {
            self.flow
        } else {
            dialog.flow(self.flow)
        }
    }
}
