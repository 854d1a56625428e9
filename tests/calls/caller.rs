//! A caller with a phone: says what it is told to and keeps what it hears.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use offhook::call::codecs::Codecs;
use offhook::call::dial::{Answered, DialFailure, Dialling, dial};
use offhook::call::line::{Attached, next_leg};
use offhook::net::media::{Command, FrameSink, LegEvent};
use offhook::net::sip::Signal;
use offhook::phone::{Destination, Phone};
use offhook_media::{Codec, Frame, SrtpPolicy, UtteranceId};
use offhook_sip::EndCause;
use offhook_sip::uri::Host;
use tokio::sync::{Notify, mpsc};

/// Where a caller is, and its number, unless a test says otherwise.
const LOCAL: [u8; 4] = [127, 0, 0, 1];
const NUMBER: &str = "+12025550143";

/// The call's sound as it came.
type Heard = Arc<Mutex<Vec<i16>>>;

/// Keeps what is heard, and says when there is more.
struct Ear(Heard, Arc<Notify>);

impl FrameSink for Ear {
    fn frame(&mut self, frame: &Frame) {
        self.0.lock().unwrap().extend_from_slice(frame.samples());
        self.1.notify_one();
    }
}

pub(crate) struct Caller {
    phone: Phone,
    answered: Answered,
    heard: Heard,
    more: Arc<Notify>,
    utterances: u64,
}

impl Caller {
    /// Calls as a telephone does, and waits for the answer.
    pub(crate) async fn dial(uri: &str) -> Result<Self, DialFailure> {
        Self::dial_in(Codec::Pcmu, uri).await
    }

    /// Calls in a codec, and waits for the answer.
    pub(crate) async fn dial_in(codec: Codec, uri: &str) -> Result<Self, DialFailure> {
        Self::dial_as(codec, SrtpPolicy::Off, uri).await
    }

    /// Calls under a policy of encryption, and waits for the answer.
    pub(crate) async fn dial_with(uri: &str, srtp: SrtpPolicy) -> Result<Self, DialFailure> {
        Self::dial_as(Codec::Pcmu, srtp, uri).await
    }

    async fn dial_as(codec: Codec, srtp: SrtpPolicy, uri: &str) -> Result<Self, DialFailure> {
        let how = (codec, srtp);
        Self::place(how, LOCAL.into(), NUMBER, uri, std::future::pending::<()>()).await
    }

    /// Calls from an address of this machine under a number.
    pub(crate) async fn dial_from(
        address: IpAddr,
        number: &str,
        uri: &str,
    ) -> Result<Self, DialFailure> {
        let how = (Codec::Pcmu, SrtpPolicy::Off);
        Self::place(how, address, number, uri, std::future::pending::<()>()).await
    }

    /// Calls and asks for privacy.
    pub(crate) async fn dial_private(uri: &str) -> Result<Self, DialFailure> {
        Self::dial_saying(LOCAL.into(), uri, &[("Privacy", "id")]).await
    }

    /// Calls from an address of this machine with header fields of its own.
    pub(crate) async fn dial_saying(
        address: IpAddr,
        uri: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, DialFailure> {
        let how = (Codec::Pcmu, SrtpPolicy::Off);
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let never = std::future::pending::<()>();
        Self::place_with(how, (address, NUMBER), uri, headers.collect(), never).await
    }

    /// Calls, and gives up once something happens.
    pub(crate) async fn dial_until<T>(
        uri: &str,
        happens: impl Future<Output = T>,
    ) -> Result<Self, DialFailure> {
        let how = (Codec::Pcmu, SrtpPolicy::Off);
        Self::place(how, LOCAL.into(), NUMBER, uri, happens).await
    }

    async fn place<T>(
        how: (Codec, SrtpPolicy),
        address: IpAddr,
        number: &str,
        uri: &str,
        gives_up: impl Future<Output = T>,
    ) -> Result<Self, DialFailure> {
        Self::place_with(how, (address, number), uri, Vec::new(), gives_up).await
    }

    async fn place_with<T>(
        (codec, srtp): (Codec, SrtpPolicy),
        (address, number): (IpAddr, &str),
        uri: &str,
        headers: Vec<(String, String)>,
        gives_up: impl Future<Output = T>,
    ) -> Result<Self, DialFailure> {
        let destination = Destination::resolve(uri).await.unwrap();
        let phone = Phone::start(address, None).await.unwrap();
        let dialling = Dialling {
            codecs: Codecs::in_order([codec]),
            srtp,
            headers,
            ..destination.dialling(format!("sip:{number}@{}", Host::from(address)))
        };
        let heard = Heard::default();
        let more = Arc::new(Notify::new());
        let ear = Ear(Arc::clone(&heard), Arc::clone(&more));
        let attached = Attached {
            sink: Some(Box::new(ear)),
            ..Attached::default()
        };
        let (tell, mut give_up) = mpsc::channel(1);
        let line = Arc::clone(&phone.line);
        let dialled = dial(&line, next_leg(), &dialling, attached, |_| {}, &mut give_up);
        let given_up = async {
            gives_up.await;
            tell.send(()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let answered = tokio::select! {
            answered = dialled => answered?,
            () = given_up => unreachable!("it goes on until the call has ended"),
        };
        Ok(Self {
            phone,
            answered,
            heard,
            more,
            utterances: 0,
        })
    }

    /// Begins to say something, at the rate of the call's codec.
    pub(crate) fn say(&mut self, samples: &[i16]) {
        self.utterances += 1;
        let utterance = UtteranceId(self.utterances);
        let leg = self.answered.leg.id;
        let media = &self.answered.leg.media;
        let play = Command::Play {
            leg,
            utterance,
            samples: samples.into(),
        };
        media.send(play).unwrap();
        media.send(Command::Finish(leg, utterance)).unwrap();
    }

    /// Waits until all of it is said.
    pub(crate) async fn until_said(&mut self) {
        while let Some(event) = self.answered.leg.event().await {
            if matches!(event, LegEvent::PlayoutFinished { .. }) {
                return;
            }
        }
    }

    /// What was heard so far.
    pub(crate) fn heard_so_far(&self) -> Vec<i16> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until a piece of 20 ms is heard that is as asked.
    pub(crate) async fn until_heard(&self, wanted: impl Fn(&[i16]) -> bool) {
        self.until_heard_after(0, wanted).await;
    }

    /// Waits until such a piece is heard from now on.
    pub(crate) async fn until_heard_now(&self, wanted: impl Fn(&[i16]) -> bool) {
        let now = self.heard.lock().unwrap().len();
        self.until_heard_after(now, wanted).await;
    }

    async fn until_heard_after(&self, start: usize, wanted: impl Fn(&[i16]) -> bool) {
        loop {
            let heard = self.heard_so_far();
            if heard[start..].chunks_exact(160).any(&wanted) {
                return;
            }
            self.more.notified().await;
        }
    }

    /// Presses keys.
    pub(crate) fn press(&self, keys: &str) {
        let leg = &self.answered.leg;
        let press = Command::SendDtmf(leg.id, keys.to_owned());
        leg.media.send(press).unwrap();
    }

    /// Tells of a key by INFO.
    pub(crate) async fn tell_key(&self, key: char) {
        let sip = self.phone.line.sip();
        let body = format!("Signal={key}\r\nDuration=100\r\n").into_bytes();
        let told = sip.info(self.answered.call, "application/dtmf-relay", body);
        told.await.unwrap();
    }

    /// Waits until the other side presses a key.
    pub(crate) async fn until_key(&mut self, key: char) {
        while let Some(event) = self.answered.leg.event().await {
            if matches!(event, LegEvent::Dtmf { digit, .. } if digit == key) {
                return;
            }
        }
    }

    /// Waits for the other side to hang up; returns what was heard.
    pub(crate) async fn until_over(mut self) -> Vec<i16> {
        while let Some(signal) = self.answered.signals.recv().await {
            if matches!(signal, Signal::Ended { .. }) {
                break;
            }
        }
        self.answered.leg.close();
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// Waits for the other side to hang up; returns how it did.
    pub(crate) async fn until_ended(&mut self) -> Option<EndCause> {
        loop {
            if let Signal::Ended { cause } = self.answered.signals.recv().await? {
                return Some(cause);
            }
        }
    }

    /// Hangs up, and says why.
    pub(crate) async fn hang_up_because(self, reason: &str) {
        let sip = self.phone.line.sip().clone();
        let reason = Some(reason.to_owned());
        sip.hang_up(self.answered.call, reason).await.unwrap();
        self.until_over().await;
    }

    /// Hangs up; returns what was heard.
    pub(crate) async fn hang_up(self) -> Vec<i16> {
        let sip = self.phone.line.sip().clone();
        sip.hang_up(self.answered.call, None).await.unwrap();
        self.until_over().await
    }
}
