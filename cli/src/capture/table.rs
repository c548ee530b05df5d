//! All connections to a port, put together from their segments.

use std::collections::HashMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use portcullis_proxylib::Direction;
use serde::Serialize;

use super::file::Packet;
use super::link::{Decoded, Segment, decode};
use super::side::{Place, Side};

/// A connection.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Its number in the capture, from 1.
    pub(crate) number: u64,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    /// Whether the capture has its beginning.
    pub(crate) whole: bool,
    /// When its first packet was captured.
    pub(crate) since: Option<Timestamp>,
}

/// What a side did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// It sent bytes.
    Data(&'a [u8]),
    /// It sent so many bytes that the capture does not have.
    Gap(u64),
    /// It will send no more.
    End,
}

/// Listens to connections.
pub(crate) trait Listener {
    /// What it remembers of each.
    type State;

    /// A connection begins.
    fn open(&mut self, flow: &Flow) -> Self::State;
    /// A side did something.
    fn event(&mut self, flow: &Flow, state: &mut Self::State, direction: Direction, event: Event<'_>);
    /// Nothing more is known of the connection.
    fn close(&mut self, flow: &Flow, state: Self::State);
}

/// What was seen in a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stats {
    pub(crate) packets: u64,
    /// TCP segments of the port.
    pub(crate) segments: u64,
    pub(crate) connections: u64,
    /// Connections whose beginning is missing.
    pub(crate) begun_before: u64,
    /// Segments that brought nothing new.
    pub(crate) repeated: u64,
    /// Segments that had to wait for others.
    pub(crate) out_of_order: u64,
    /// Bytes that are missing.
    pub(crate) missing: u64,
    /// Pieces of IP packets.
    pub(crate) fragments: u64,
    /// TCP segments without a readable header.
    pub(crate) unreadable: u64,
    /// Packets in tunnels that are not looked into.
    pub(crate) tunnels: u64,
    /// Packets of an unknown link layer.
    pub(crate) unknown_link: u64,
    /// Segments whose numbers are far from those of their connection, or that came after its end.
    pub(crate) strays: u64,
    /// Connections that were given up because there were too many at a time.
    pub(crate) crowded_out: u64,
    /// Bytes that the connections of the port sent.
    pub(crate) bytes: u64,
}

impl Stats {
    /// What of the capture could not be read: how many of what.
    pub(crate) fn losses(&self) -> impl Iterator<Item = (u64, &'static str)> + use<> {
        let all = [
            (self.missing, "bytes are missing from the capture"),
            (self.fragments, "pieces of IP packets were left out: they are not put together"),
            (self.unreadable, "TCP packets were cut before their headers end"),
            (
                self.tunnels,
                "packets are encrypted, or in tunnels that are not looked into (IPsec, WireGuard, MPLS, L2TP): capture on the \
                 interface of the endpoint, where they are without",
            ),
            (
                self.unknown_link,
                "packets are of a link layer that is not known here: convert the capture to Ethernet or raw IP",
            ),
            (self.crowded_out, "connections were given up early: there were too many at a time"),
        ];
        all.into_iter().filter(|(number, _)| *number > 0)
    }
}

/// The connections of a capture.
pub(crate) struct Table<L: Listener> {
    port: u16,
    pub(crate) listener: L,
    index: HashMap<(SocketAddr, SocketAddr), usize>,
    slots: Vec<Option<Box<Connection<L::State>>>>,
    free: Vec<usize>,
    /// Where to look next for a connection to give up.
    hand: usize,
    /// Bytes that wait for missing segments.
    held: usize,
    pub(crate) stats: Stats,
}

struct Connection<S> {
    flow: Flow,
    sides: [Side; 2],
    state: Option<S>,
    /// A packet came since it was last looked at.
    touched: bool,
    /// Packets since something that was received was missed.
    waited: u32,
}

impl<L: Listener> Table<L> {
    /// A table of the connections to one port.
    pub(crate) fn new(port: u16, listener: L) -> Self {
        Self {
            port,
            listener,
            index: HashMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            held: 0,
            stats: Stats::default(),
        }
    }

    /// Takes the next packet of the capture.
    pub(crate) fn packet(&mut self, packet: Packet<'_>) {
        self.stats.packets = self.stats.packets.saturating_add(1);
        let counter = match decode(packet.link, packet.data) {
            Decoded::Segment(segment) => return self.segment(segment, packet.time),
            Decoded::Fragment => &mut self.stats.fragments,
            Decoded::Unreadable => &mut self.stats.unreadable,
            Decoded::Tunnel => &mut self.stats.tunnels,
            Decoded::UnknownLink => &mut self.stats.unknown_link,
            Decoded::Other => return,
        };
        *counter = counter.saturating_add(1);
    }

    /// Takes a segment.
    pub(crate) fn segment(&mut self, segment: Segment<'_>, time: Option<Timestamp>) {
        let Segment { source, destination, .. } = segment;
        if source.port() != self.port && destination.port() != self.port {
            return;
        }
        self.stats.segments = self.stats.segments.saturating_add(1);
        let key = (source.min(destination), source.max(destination));
        let opens = segment.syn && segment.ack.is_none();
        let mut slot = self.index.get(&key).copied();
        if let Some(known) = slot.filter(|_| opens)
            && self.is_another(known, &segment)
        {
            self.finish(known);
            slot = None;
        }
        let slot = slot.unwrap_or_else(|| self.add(key, &segment, time));
        let Some(mut connection) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        connection.touched = true;
        let before = connection.held();
        let mut at_hand = AtHand { listener: &mut self.listener, stats: &mut self.stats };
        if connection.state.is_some() {
            connection.segment(&segment, &mut at_hand);
            let held = self.held.saturating_sub(before).saturating_add(connection.held());
            if held > MAX_HELD {
                connection.give_up_waiting(&mut at_hand);
            }
            if segment.rst || connection.has_ended() {
                connection.close(&mut at_hand);
            }
        } else {
            self.stats.strays = self.stats.strays.saturating_add(1);
        }
        self.held = self.held.saturating_sub(before).saturating_add(connection.held());
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
    }

    /// The capture is at its end: what waits is handed on, and all connections close.
    pub(crate) fn end(mut self) -> (L, Stats) {
        let mut left: Vec<_> = self.slots.iter_mut().filter_map(Option::take).collect();
        left.sort_by_key(|connection| connection.flow.number);
        let mut at_hand = AtHand { listener: &mut self.listener, stats: &mut self.stats };
        left.iter_mut().for_each(|connection| connection.close(&mut at_hand));
        (self.listener, self.stats)
    }

    /// Whether a SYN is not that of the connection that is known between the two.
    fn is_another(&self, slot: usize, segment: &Segment<'_>) -> bool {
        let Some(Some(known)) = self.slots.get(slot) else { return true };
        let side = known.side_of(segment.source);
        known.state.is_none() || known.sides.get(side).is_some_and(|side| side.isn != Some(segment.seq))
    }

    fn add(&mut self, key: (SocketAddr, SocketAddr), segment: &Segment<'_>, time: Option<Timestamp>) -> usize {
        let Segment { source, destination, syn, ack, .. } = *segment;
        // Whoever is asked for a connection, or has the port; where both have it, whoever is spoken to first.
        let from_server =
            if syn { ack.is_some() } else { source.port() == self.port && destination.port() != self.port };
        let (client, server) = if from_server { (destination, source) } else { (source, destination) };
        self.stats.connections = self.stats.connections.saturating_add(1);
        self.stats.begun_before = self.stats.begun_before.saturating_add(u64::from(!syn));
        let flow = Flow { number: self.stats.connections, client, server, whole: syn, since: time };
        let state = Some(self.listener.open(&flow));
        let connection = Connection { flow, sides: Default::default(), state, touched: true, waited: 0 };
        if self.index.len() >= MAX_CONNECTIONS {
            self.make_room();
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len().saturating_sub(1)
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Box::new(connection));
        }
        self.index.insert(key, slot);
        slot
    }

    /// Gives up a connection: the first that ended, or had no packet since it was last looked at.
    fn make_room(&mut self) {
        for _ in 0..self.slots.len().saturating_mul(2) {
            let at = self.hand;
            self.hand = self.hand.saturating_add(1);
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let Some(Some(connection)) = self.slots.get_mut(at) else { continue };
            let open = connection.state.is_some();
            if open && std::mem::take(&mut connection.touched) {
                continue;
            }
            self.stats.crowded_out = self.stats.crowded_out.saturating_add(u64::from(open));
            self.finish(at);
            return;
        }
    }

    /// Closes a connection and frees its place.
    fn finish(&mut self, slot: usize) {
        let Some(mut connection) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        let before = connection.held();
        connection.close(&mut AtHand { listener: &mut self.listener, stats: &mut self.stats });
        self.held = self.held.saturating_sub(before);
        let Flow { client, server, .. } = connection.flow;
        self.index.remove(&(client.min(server), client.max(server)));
        self.free.push(slot);
    }
}

/// What a connection needs of its table.
struct AtHand<'a, L> {
    listener: &'a mut L,
    stats: &'a mut Stats,
}

impl<S> Connection<S> {
    fn side_of(&self, source: SocketAddr) -> usize {
        usize::from(source != self.flow.client)
    }

    fn held(&self) -> usize {
        let [orig, reply] = &self.sides;
        orig.held.saturating_add(reply.held)
    }

    fn has_ended(&self) -> bool {
        self.sides.iter().all(|side| side.ended)
    }

    fn pair(&mut self, side: usize) -> (&mut Side, &mut Side) {
        let [orig, reply] = &mut self.sides;
        if side == 0 { (orig, reply) } else { (reply, orig) }
    }

    fn segment<L: Listener<State = S>>(&mut self, segment: &Segment<'_>, at_hand: &mut AtHand<'_, L>) {
        let index = self.side_of(segment.source);
        let (side, other) = self.pair(index);
        let mut seq = segment.seq;
        if segment.syn {
            side.isn.get_or_insert(seq);
            seq = seq.wrapping_add(1);
            side.begin(seq);
        }
        let after = match segment.ack {
            Some(ack) if !segment.rst => other.acknowledge(ack),
            _ => 0,
        };
        if segment.rst {
            return;
        }
        if !segment.payload.is_empty() || segment.missing > 0 || segment.fin {
            match side.place(seq, segment.payload, segment.missing.into(), after, segment.fin) {
                Place::Next(piece) if after <= other.received() => {
                    let (bytes, missing) = (piece.bytes, piece.missing);
                    self.hand_on(index, bytes, missing, at_hand);
                }
                Place::Next(piece) | Place::Later(piece) => {
                    side.keep(piece);
                    at_hand.stats.out_of_order = at_hand.stats.out_of_order.saturating_add(1);
                }
                Place::Again if segment.payload.is_empty() => {}
                Place::Again => at_hand.stats.repeated = at_hand.stats.repeated.saturating_add(1),
                Place::Stray => at_hand.stats.strays = at_hand.stats.strays.saturating_add(1),
            }
        }
        self.pump(at_hand);
        if self.sides.iter().any(Side::is_proven) {
            self.waited = self.waited.saturating_add(1);
        } else {
            self.waited = 0;
        }
        if self.waited > PATIENCE {
            self.give_up_one(at_hand);
        }
        while self.sides.iter().any(Side::is_full) && self.give_up_one(at_hand) {}
    }

    fn hand_on<L: Listener<State = S>>(
        &mut self,
        index: usize,
        bytes: &[u8],
        missing: u64,
        at_hand: &mut AtHand<'_, L>,
    ) {
        let len = bytes.len() as u64;
        if let Some(side) = self.sides.get_mut(index) {
            side.advance(len.saturating_add(missing));
        }
        self.waited = 0;
        at_hand.stats.bytes = at_hand.stats.bytes.saturating_add(len);
        at_hand.stats.missing = at_hand.stats.missing.saturating_add(missing);
        if !bytes.is_empty() {
            self.tell(index, Event::Data(bytes), at_hand);
        }
        if missing > 0 {
            self.tell(index, Event::Gap(missing), at_hand);
        }
    }

    fn tell<L: Listener<State = S>>(&mut self, index: usize, event: Event<'_>, at_hand: &mut AtHand<'_, L>) {
        let direction = if index == 0 { Direction::Orig } else { Direction::Reply };
        if let Some(state) = &mut self.state {
            at_hand.listener.event(&self.flow, state, direction, event);
        }
    }

    /// Hands on what no longer has to wait, in the order in which it was sent.
    fn pump<L: Listener<State = S>>(&mut self, at_hand: &mut AtHand<'_, L>) {
        loop {
            let mut moved = false;
            for index in [0, 1] {
                loop {
                    let (side, other) = self.pair(index);
                    let Some((bytes, missing, from)) = side.take(other.received()) else { break };
                    self.hand_on(index, bytes.get(from..).unwrap_or_default(), missing, at_hand);
                    moved = true;
                }
                let (side, _) = self.pair(index);
                if !side.ended && side.fin.is_some_and(|fin| side.position >= fin) {
                    side.ended = true;
                    moved = true;
                    self.tell(index, Event::End, at_hand);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Gives up what is missing in one place. `false`: nothing is.
    fn give_up_one<L: Listener<State = S>>(&mut self, at_hand: &mut AtHand<'_, L>) -> bool {
        self.waited = 0;
        let find = |wanted: &dyn Fn(&Side) -> bool| self.sides.iter().position(wanted);
        let proven = find(&|side| side.is_proven() && side.hole().is_some());
        let Some(index) = proven.or_else(|| find(&|side| side.hole().is_some())) else {
            // Each says that it was sent after what the other waits for.
            let hurried = self.sides.iter_mut().any(Side::hurry);
            self.pump(at_hand);
            return hurried;
        };
        let (side, _) = self.pair(index);
        if side.may_have_ended() {
            side.fin = Some(side.position);
        } else if let Some(hole) = side.hole() {
            self.hand_on(index, &[], hole, at_hand);
        }
        self.pump(at_hand);
        true
    }

    fn give_up_waiting<L: Listener<State = S>>(&mut self, at_hand: &mut AtHand<'_, L>) {
        while self.sides.iter().any(|side| side.waits() || side.is_proven()) && self.give_up_one(at_hand) {}
    }

    fn close<L: Listener<State = S>>(&mut self, at_hand: &mut AtHand<'_, L>) {
        self.give_up_waiting(at_hand);
        if let Some(state) = self.state.take() {
            at_hand.listener.close(&self.flow, state);
        }
    }
}

/// Connections that are followed at a time. With the parsers of them and a full table, about 100 MB.
const MAX_CONNECTIONS: usize = 32_768;

/// Bytes that wait for missing segments in all connections together.
const MAX_HELD: usize = 64 << 20;

/// Packets of a connection after which a segment that was received, and was not captured, will not come any more. Captures
/// from several queues of a network card are out of order by a few.
const PATIENCE: u32 = 32;
