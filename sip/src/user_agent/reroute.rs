//! Calls whose connection is gone: the next hop's name is looked up again, and what there is to say
//! meanwhile waits for it (RFC 3261 §12.2.1.1, §8.1.2).

use super::clients::{ClientId, Purpose};
use super::{CallHandle, Event, Transmit, UserAgent, compose};
use crate::flow::Flow;
use crate::message::Message;

impl UserAgent {
    /// Moves what goes over a connection that is gone: to the next hop's own address where it is
    /// written as one, and to wherever [`reroute_call`](Self::reroute_call) says where it is a name.
    pub(super) fn leave_flow(&mut self, flow: Flow) {
        self.servers.leave_flow(flow);
        let calls = self.calls.iter().filter(|(_, call)| call.flow == flow);
        let mut handles: Vec<CallHandle> = calls.map(|(&handle, _)| handle).collect();
        handles.sort_unstable(); // a simulation must find one order only
        for handle in handles {
            // Of several early dialogs the latest is as good as any.
            let Some(dialog) = self.dialogs(handle).last() else {
                continue;
            };
            let next = dialog.flow_without_connection(flow);
            let by_name = dialog.next_hop_by_name().map(str::to_owned);
            let Some(call) = self.calls.get_mut(&handle) else {
                continue;
            };
            match by_name {
                Some(next_hop) if call.dialog.is_some() => {
                    if !std::mem::replace(&mut call.seeks_way, true) {
                        self.hold_bye(handle);
                        self.emit(Event::ConnectionLost {
                            call: handle,
                            next_hop,
                            lost: flow,
                        });
                    }
                }
                None if call.dialog.is_some() && next != flow => {
                    call.seeks_way = true;
                    self.hold_bye(handle);
                    self.reroute_call(handle, next);
                }
                _ => call.flow = next,
            }
        }
    }

    /// Says where a call's requests go after [`Event::ConnectionLost`], and sends those that have
    /// waited for it; the flow that was lost serves where nothing better is known. A call that has
    /// meanwhile heard from its peer over another connection keeps to that.
    pub fn reroute_call(&mut self, call: CallHandle, flow: Flow) {
        let Some(kept) = self.calls.get_mut(&call).filter(|kept| kept.seeks_way) else {
            return;
        };
        kept.seeks_way = false;
        kept.flow = flow;
        let waiting = self
            .clients
            .iter()
            .filter(|(_, client)| client.waits_for_way && client.purpose.call() == Some(call));
        let mut waiting: Vec<(u32, ClientId)> = waiting
            .filter_map(|(&id, client)| Some((number_of(&client.request)?, id)))
            .collect();
        waiting.sort_unstable(); // in the order in which they were asked for
        for (number, id) in waiting {
            self.send_by_way(id, number, flow);
        }
    }

    /// Keeps a BYE that is unanswered on a connection which is gone: without it the peer would not
    /// know that the call is over. It goes out again as it is, so that a peer who has heard it
    /// answers it once more (§17.2.2); but once only, or a peer that closes every connection would keep
    /// us busy.
    fn hold_bye(&mut self, call: CallHandle) {
        for client in self.clients.values_mut() {
            client.waits_for_way |= client.purpose == Purpose::Bye(call) && !client.was_moved;
        }
    }

    fn send_by_way(&mut self, id: ClientId, number: u32, flow: Flow) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let request = client.request.clone();
        let written = Message::parse(&request)
            .ok()
            .and_then(|request| compose::again(&self.settings, &flow, &request, (id, number), &[]));
        client.waits_for_way = false;
        client.was_moved = true;
        client.flow = flow;
        client.request = written.map_or(request, Into::into);
        let bytes = client.request.clone();
        self.send(Transmit { flow, bytes });
    }

    /// Whether a request is for a call that does not know where to send it.
    pub(super) fn seeks_way(&self, purpose: Purpose, flow: Flow) -> bool {
        let call = purpose.call().and_then(|call| self.calls.get(&call));
        call.is_some_and(|call| call.seeks_way && call.flow == flow)
    }
}

fn number_of(request: &[u8]) -> Option<u32> {
    Some(Message::parse(request).ok()?.cseq().ok()?.number)
}
