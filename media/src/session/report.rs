//! RTCP of a session: what comes in, what goes out, and the timers that ride on the tick.

use std::net::SocketAddr;
use std::time::Instant;

use super::receive::MAX_DATAGRAM_BYTES;
use super::watch::ToldOf;
use super::{MediaSession, Notice};
use crate::rtcp::{
    Blocks, MAX_COMPOUND_BYTES, Report, ReportBlock, RtcpError, RtcpPacket, SenderInfo, parse,
    write_compound,
};
use crate::sdp::Direction;
use crate::source::SourceRule;

impl MediaSession {
    /// Takes a datagram that came to the RTCP port.
    pub fn handle_rtcp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let described = self.guard.rule() == SourceRule::Negotiated
            && from.ip().to_canonical() == self.negotiated.remote_rtcp.ip().to_canonical();
        if !described && !self.guard.admits(from) {
            return self.refuse(now, from);
        }
        if bytes.len() > MAX_DATAGRAM_BYTES {
            return self.stats.oversized += 1;
        }
        match self.security {
            Some(_) => self.handle_srtcp(now, from, bytes),
            None => self.handle_clear_rtcp(now, from, bytes),
        }
    }

    /// Takes reports that may come from there and, with SRTP, are authentic and new. Whoever sends
    /// them must call itself by the peer's synchronisation source, once that is known: a port of
    /// the peer's address is not the peer.
    pub(super) fn handle_clear_rtcp(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let packets = match parse(bytes) {
            Ok(packets) => packets,
            Err(RtcpError::Length) => return self.stats.truncated += 1,
            Err(RtcpError::Version) => return self.stats.wrong_version += 1,
            Err(RtcpError::NoReport | RtcpError::Padding) => return self.stats.malformed += 1,
        };
        let mut reporter = None;
        for packet in packets {
            match packet {
                RtcpPacket::SenderReport { ssrc, info, blocks } => {
                    if reporter.is_none() && !self.is_from_peer(now, from, ssrc) {
                        return;
                    }
                    reporter = Some(ssrc);
                    if self.guard.ssrc() == Some(ssrc) {
                        self.schedule.heard_sender_report(now, info.ntp);
                    }
                    self.heard_reports(now, blocks);
                }
                RtcpPacket::ReceiverReport { ssrc, blocks } => {
                    if reporter.is_none() && !self.is_from_peer(now, from, ssrc) {
                        return;
                    }
                    reporter = Some(ssrc);
                    self.heard_reports(now, blocks);
                }
                RtcpPacket::Goodbye(mut sources) => {
                    let known = self.guard.ssrc();
                    let ours = sources.any(|source| known == Some(source));
                    if ours && !std::mem::replace(&mut self.peer.said_goodbye, true) {
                        self.notify(Notice::RemoteBye);
                    }
                }
                RtcpPacket::ExtendedReport { voices, .. } => {
                    self.voip_metrics_wanted = true;
                    voices.for_each(|voice| self.heard_of_our_voice(&voice));
                }
                RtcpPacket::SourceDescription { .. } | RtcpPacket::Other(_) => {}
            }
        }
    }

    /// Judges a compound by the source of its first report, and takes note of a sign of life.
    fn is_from_peer(&mut self, now: Instant, from: SocketAddr, ssrc: u32) -> bool {
        let known = self.guard.ssrc();
        // What is authentic is the peer's, whichever of its sources reports.
        let authentic = self.security.is_some();
        if ssrc == self.stream.ssrc() {
            self.stats.looped += 1;
            return false;
        }
        if !authentic && known.is_some_and(|known| known != ssrc) {
            self.stats.wrong_ssrc += 1;
            return false;
        }
        self.stats.rtcp_received += 1;
        self.peer.is_there(now);
        if known.is_some() {
            self.peer.reports_from(now, from);
        }
        true
    }

    fn heard_reports(&mut self, now: Instant, mut blocks: Blocks<'_>) {
        let tells_of_others = blocks.clone().next().is_some();
        let block = blocks.find(|block| block.ssrc == self.stream.ssrc());
        let told = match block {
            Some(block) => ToldOf::Us(block.highest_sequence),
            None if tells_of_others => ToldOf::Others,
            None => ToldOf::Nobody,
        };
        if let Some(block) = &block {
            self.heard_about_us(now, block);
        }
        self.report_tells(now, told);
    }

    fn heard_about_us(&mut self, now: Instant, block: &ReportBlock) {
        let clock_rate_hz = self.negotiated.codec.clock_rate_hz() as f32;
        self.stats.remote_loss = f32::from(block.fraction_lost) / 256.0;
        self.stream.heed_loss(self.stats.remote_loss);
        self.stats.remote_jitter_ms = block.jitter as f32 * 1_000.0 / clock_rate_hz;
        self.schedule
            .heard_block(now, block.last_sender_report, block.delay_since_last);
    }

    /// Says goodbye to the peer (RFC 3550 §6.3.7); nothing should be sent after it.
    pub fn close(&mut self, now: Instant) {
        self.report(now, true);
    }

    /// Runs what is due beside the sound.
    pub(super) fn run_timers(&mut self, now: Instant) {
        if let Some(press) = self.dtmf_receiver.tick(now) {
            self.pressed(now, press);
        }
        self.watch(now);
        if self.schedule.fires(now) {
            self.report(now, false);
        }
        // Who holds us, or is held, may be silent as long as it likes (RFC 3264 §8.4).
        if self.negotiated.direction != Direction::SendRecv {
            self.peer.is_there(now);
            return;
        }
        let silent_for = now.saturating_duration_since(self.peer.last_heard);
        if silent_for >= self.media_timeout.saturating_mul(self.peer.timeouts + 1) {
            self.peer.timeouts += 1;
            self.notify(Notice::MediaTimeout { silent_for });
        }
    }

    fn report(&mut self, now: Instant, goodbye: bool) {
        let Some(to) = self.rtcp_destination() else {
            return;
        };
        let info = (self.stream.packets() > 0).then(|| SenderInfo {
            ntp: self.schedule.ntp(now),
            rtp_timestamp: self.stream.timestamp(self.grid.position_at(now)),
            packets: self.stream.packets() as u32,
            octets: self.stream.octets() as u32,
        });
        let block = self.report_block(now);
        let report = Report {
            ssrc: self.stream.ssrc(),
            info,
            block,
            voice: self
                .voip_metrics_wanted
                .then(|| self.voip_metrics())
                .flatten(),
            cname: &self.cname,
            goodbye,
        };
        let mut bytes = [0; MAX_COMPOUND_BYTES];
        let len = write_compound(&report, &mut bytes);
        let Some(bytes) = bytes.get(..len) else {
            return;
        };
        self.outbox.push(to, !self.negotiated.rtcp_mux, |packet| {
            packet
                .iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            len
        });
        self.stats.rtcp_sent += 1;
    }

    fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let ssrc = self.guard.ssrc()?;
        let reception = self.peer.reception.as_mut()?;
        let (last_sender_report, delay_since_last) = self.schedule.last_sender_report(now);
        Some(ReportBlock {
            ssrc,
            fraction_lost: reception.fraction_lost(),
            cumulative_lost: reception.lost().clamp(-0x80_0000, 0x7F_FFFF) as i32,
            // The extension starts one cycle up; what goes out counts cycles from zero.
            highest_sequence: reception.highest_sequence().wrapping_sub(0x1_0000) as u32,
            jitter: reception.jitter(),
            last_sender_report,
            delay_since_last,
        })
    }

    /// Where reports go: as described, or for a peer behind NAT where its own come from.
    fn rtcp_destination(&self) -> Option<SocketAddr> {
        let rtp = self.guard.destination()?;
        if self.negotiated.rtcp_mux {
            return Some(rtp);
        }
        let to = match self.guard.rule() {
            SourceRule::Negotiated => self.negotiated.remote_rtcp,
            SourceRule::Signalling => match self.peer.rtcp_from {
                Some((from, _)) if from.ip().to_canonical() == rtp.ip() => from,
                _ => SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?),
            },
        };
        (!to.ip().is_unspecified() && to.port() != 0).then_some(to)
    }
}
