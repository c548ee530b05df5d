#![expect(clippy::indexing_slicing, reason = "tests fail by panicking")]

use indicatif::ProgressBar;
use pcap_parser::Linktype;
use portcullis_proxylib::Direction;
use proptest::prelude::*;

use super::testing::{Talk, Who, merge, pcap, pcap_of, pcapng};
use super::{Broken, Event, Flow, Input, Kind, Listener, Stats, Table};

/// Writes down what was said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scribe {
    said: Vec<Said>,
}

/// What was said on one connection: bytes of both directions with `<n>` where n are missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    client: String,
    whole: bool,
    orig: String,
    reply: String,
    /// Who said something, in order.
    order: String,
    ends: usize,
}

impl Listener for Scribe {
    type State = Said;

    fn open(&mut self, flow: &Flow) -> Said {
        Said { client: flow.client.to_string(), whole: flow.whole, ..Said::default() }
    }

    fn event(&mut self, _flow: &Flow, said: &mut Said, direction: Direction, event: Event<'_>) {
        let (text, mark) = match direction {
            Direction::Orig => (&mut said.orig, 'c'),
            Direction::Reply => (&mut said.reply, 's'),
        };
        match event {
            Event::Data(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            Event::Gap(len) => text.push_str(&format!("<{len}>")),
            Event::End => said.ends += 1,
        }
        if event != Event::End && !said.order.ends_with(mark) {
            said.order.push(mark);
        }
    }

    fn close(&mut self, _flow: &Flow, said: Said) {
        self.said.push(said);
    }
}

fn read(file: &[u8]) -> (Vec<Said>, Stats, Result<(), Broken>) {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("capture");
    std::fs::write(&path, file).expect("a file");
    let mut table = Table::new(11211, Scribe::default());
    let input = Input::open(&path, None, &ProgressBar::hidden()).expect("a file");
    let done = input.packets(|packet| table.packet(packet));
    let (scribe, stats) = table.end();
    (scribe.said, stats, done)
}

fn talk() -> Talk {
    Talk::new("10.0.0.1:40000", "10.0.0.2:11211")
        .open()
        .ask("get a\r\n")
        .reply("END\r\n")
        .ask("get b\r\n")
        .reply("END\r\n")
}

fn one(file: &[u8]) -> (Said, Stats) {
    let (mut said, stats, done) = read(file);
    assert_eq!((done, said.len()), (Ok(()), 1));
    (said.remove(0), stats)
}

#[test]
fn a_connection_is_read_in_both_directions_and_in_order() {
    for file in [pcap(&talk().close().packets), pcapng(&talk().close().packets)] {
        let (said, stats) = one(&file);
        assert_eq!((said.orig.as_str(), said.reply.as_str()), ("get a\r\nget b\r\n", "END\r\nEND\r\n"));
        assert_eq!((said.order.as_str(), said.ends, said.whole), ("cscs", 2, true));
        assert_eq!((stats.connections, stats.bytes, stats.missing, stats.repeated), (1, 24, 0, 0));
    }
}

#[test]
fn every_link_layer_gives_the_same() {
    let frames = talk().close().packets;
    let with = |header: &[u8], skip: usize| -> Vec<_> {
        frames.iter().map(|(at, frame)| (*at, [header, &frame[skip..]].concat())).collect()
    };
    let sll = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &[8, 0]].concat();
    let sll2 = [&[8, 0][..], &[0; 18]].concat();
    let tagged: Vec<_> =
        frames.iter().map(|(at, frame)| (*at, [&frame[..12], &[0x81, 0, 0, 7], &frame[12..]].concat())).collect();
    for (link, packets) in [
        (0, with(&[2, 0, 0, 0], 14)),
        (0, with(&[0, 0, 0, 2], 14)),
        (1, tagged),
        (12, with(&[], 14)),
        (101, with(&[], 14)),
        (108, with(&[0, 0, 0, 2], 14)),
        (113, with(&sll, 14)),
        (228, with(&[], 14)),
        (276, with(&sll2, 14)),
    ] {
        let (said, _) = one(&pcap_of(link, usize::MAX, &packets));
        assert_eq!((said.orig.len(), said.reply.len(), said.ends), (14, 10, 2), "link type {link}");
    }
    let (said, stats, _) = read(&pcap_of(127, usize::MAX, &frames));
    assert_eq!((said.len(), stats.unknown_link), (0, frames.len() as u64));
    let six = Talk::new("[fd00::1]:40000", "[fd00::2]:11211").open().ask("get a\r\n").reply("END\r\n").close();
    assert_eq!(one(&pcap(&six.packets)).0.orig, "get a\r\n");
}

#[test]
fn what_is_in_tunnels_is_read_as_if_it_were_not() {
    let frames = talk().close().packets;
    let outer = |number: u8, payload: &[u8]| {
        let length = u16::try_from(20 + payload.len()).expect("short").to_be_bytes();
        let ip = [&[0x45, 0][..], &length, &[0, 0, 0x40, 0, 64, number, 0, 0, 192, 168, 0, 1, 192, 168, 0, 2]].concat();
        [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &ip, payload].concat()
    };
    let udp = |port: u16, payload: &[u8]| {
        let length = u16::try_from(8 + payload.len()).expect("short").to_be_bytes();
        outer(17, &[&[0x80, 0][..], &port.to_be_bytes(), &length, &[0, 0], payload].concat())
    };
    type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let vxlan = |frame: &[u8]| udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], frame].concat());
    let tunnels: &[(&str, Wrap<'_>)] = &[
        ("802.1ad", &|frame| [&frame[..12], &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8], &frame[12..]].concat()),
        ("vxlan", &vxlan),
        ("vxlan on Linux's port", &|frame| udp(8472, &[&[8, 0, 0, 0, 0, 0, 7, 0], frame].concat())),
        ("geneve", &|frame| udp(6081, &[&[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8], frame].concat())),
        ("gre", &|frame| outer(47, &[&[0, 0, 8, 0], &frame[14..]].concat())),
        ("gre with a key and a number", &|frame| {
            outer(47, &[&[0x30, 0, 0x65, 0x58, 0, 0, 0, 1, 0, 0, 0, 2], frame].concat())
        }),
        ("ip in ip", &|frame| outer(4, &frame[14..])),
        ("vxlan in vxlan", &|frame| vxlan(&vxlan(frame))),
    ];
    for (name, wrap) in tunnels {
        let packets: Vec<_> = frames.iter().map(|(at, frame)| (*at, wrap(frame))).collect();
        let (said, stats) = one(&pcap(&packets));
        assert_eq!((said.orig.len(), said.reply.len(), said.ends, stats.tunnels), (14, 10, 2, 0), "{name}");
    }
    let closed: &[(&str, Wrap<'_>)] = &[
        ("esp", &|frame| outer(50, frame)),
        ("wireguard", &|frame| udp(51871, frame)),
        ("mpls", &|frame| [&frame[..12], &[0x88, 0x47, 0, 1, 1, 64], &frame[14..]].concat()),
        ("gre of another version", &|frame| outer(47, &[&[0x20, 1, 0x88, 0x0b], frame].concat())),
        ("too many", &|frame| (0..4).fold(frame.to_vec(), |frame, _| vxlan(&frame))),
    ];
    for (name, wrap) in closed {
        let packets: Vec<_> = frames.iter().map(|(at, frame)| (*at, wrap(frame))).collect();
        let (said, stats, _) = read(&pcap(&packets));
        assert_eq!((said.len(), stats.tunnels), (0, frames.len() as u64), "{name}");
        assert!(stats.losses().any(|(_, text)| text.contains("capture on the interface")), "{name}");
    }
    // Other datagrams are none, and pieces of one may have been.
    let (_, stats, _) = read(&pcap(&[(0.0, udp(53, &frames[0].1)), (0.0, udp(4789, &[0; 8]))]));
    assert_eq!((stats.tunnels, stats.segments, stats.fragments), (0, 0, 0));
    let mut piece = vxlan(&frames[0].1);
    piece[14 + 6] |= 0x20;
    assert_eq!(read(&pcap(&[(0.0, piece)])).1.fragments, 1);
}

#[test]
fn what_comes_twice_or_late_changes_nothing() {
    let wanted = one(&pcap(&talk().close().packets)).0;
    let mut packets = talk().close().packets;
    packets.swap(3, 4);
    assert_eq!(one(&pcap(&packets)).0, wanted, "a reply before its request");
    let mut packets = talk().close().packets;
    packets.swap(3, 5);
    assert_eq!(one(&pcap(&packets)).0.orig, wanted.orig, "requests in the wrong order");
    let twice: Vec<_> = talk().close().packets.into_iter().flat_map(|packet| [packet.clone(), packet]).collect();
    let (said, stats) = one(&pcap(&twice));
    assert_eq!((said, stats.repeated), (wanted, 4));
}

#[test]
fn what_is_missing_is_told_where_it_is_missing() {
    let open = || Talk::new("10.0.0.1:40000", "10.0.0.2:11211").open();
    let lost = open().ask("one").lose(Who::Client, 5).ask("two").reply("reply").close();
    let (said, stats) = one(&pcap(&lost.packets));
    assert_eq!((said.orig.as_str(), said.reply.as_str(), said.ends), ("one<5>two", "reply", 2));
    assert_eq!((said.order.as_str(), stats.missing), ("cs", 5));
    let lost = open().ask("one").lose(Who::Client, 5).reply("reply").close();
    assert_eq!(one(&pcap(&lost.packets)).0.orig, "one<5>", "a request that only its reply tells of");
    let cut = open().ask("x".repeat(100)).ask("two").reply("reply").close();
    let (said, stats) = one(&pcap_of(1, 54 + 10, &cut.packets));
    assert_eq!((said.orig, stats.missing), (format!("{}<90>two", "x".repeat(10)), 90));
    let middle: Vec<_> = talk().packets.split_off(4);
    let (said, stats) = one(&pcap(&middle));
    assert_eq!((said.orig.as_str(), said.reply.as_str(), said.whole), ("get b\r\n", "END\r\nEND\r\n", false));
    assert_eq!(stats.begun_before, 1);
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    let first = talk().close();
    let mut second = Talk::new("10.0.0.1:40000", "10.0.0.2:11211");
    second.at = 10.0;
    let second = second.lose(Who::Client, 77).open().ask("again");
    let (said, stats, _) = read(&pcap(&merge(vec![first, second])));
    assert_eq!((stats.connections, said.len()), (2, 2));
    assert_eq!(said[1].orig, "again");
}

#[test]
fn a_reset_ends_a_connection_and_what_comes_after_is_none() {
    let mut packets = talk().packets;
    let mut reset = packets[5].1.clone();
    reset[14 + 20 + 13] = 0x14;
    reset.truncate(14 + 40);
    reset[16..18].copy_from_slice(&40_u16.to_be_bytes());
    packets.insert(6, (0.0055, reset));
    let (said, stats) = one(&pcap(&packets));
    assert_eq!((said.orig.as_str(), said.reply.as_str(), stats.strays), ("get a\r\nget b\r\n", "END\r\n", 1));
}

#[test]
fn fragments_and_other_ports_are_told_apart() {
    let mut packets = talk().packets;
    // More fragments follow.
    packets[5].1[14 + 6] |= 0x20;
    let other = Talk::new("10.0.0.1:40001", "10.0.0.2:80").open().ask("GET /");
    packets.extend(other.packets);
    let (said, stats) = one(&pcap(&packets));
    assert_eq!((said.orig.as_str(), stats.fragments, stats.connections), ("get a\r\n<7>", 1, 1));
}

#[test]
fn a_file_that_is_cut_tells_so_and_keeps_what_was_read() {
    let file = pcap(&talk().packets);
    let (said, stats, done) = read(&file[..file.len() - 3]);
    assert_eq!((said.len(), stats.packets), (1, 6));
    assert!(done.expect_err("cut").why.contains("in the middle of a packet"));
    let mut corrupt = file.clone();
    corrupt[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let (_, stats, done) = read(&corrupt);
    assert_eq!((stats.packets, done.expect_err("corrupt").at), (0, 24));
    let big = [&file[..24], &file[24..32], &(20_u32 << 20).to_le_bytes(), &[0; 64]].concat();
    assert!(read(&big).2.is_err());
}

#[test]
fn a_gzip_file_and_an_empty_one_are_named() {
    let folder = tempfile::tempdir().expect("a directory");
    for (bytes, wanted) in [(&b"\x1f\x8b\x08\x00"[..], "gunzip"), (b"", "is empty")] {
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).expect("a file");
        let error = Input::open(&path, None, &ProgressBar::hidden()).err().expect("refused");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let path = folder.path().join("raw");
    std::fs::write(&path, b"get a\r\n").expect("a file");
    assert_eq!(Input::open(&path, None, &ProgressBar::hidden()).expect("a file").kind, Kind::Raw);
}

#[test]
fn many_connections_at_once_are_bounded() {
    let mut table = Table::new(11211, Scribe::default());
    for n in 0..40_000_u32 {
        let client = format!("10.{}.{}.{}:40000", n >> 16 & 255, n >> 8 & 255, n & 255);
        let mut talk = Talk::new(&client, "11.0.0.2:11211").ask("x");
        let (_, packet) = talk.packets.remove(0);
        table.packet(super::file::Packet { time: None, link: Linktype::ETHERNET, data: &packet });
    }
    let (scribe, stats) = table.end();
    assert_eq!((scribe.said.len(), stats.connections, stats.crowded_out), (40_000, 40_000, 40_000 - 32_768));
}

/// Whether the client speaks, and what is said.
type Turn = (bool, Vec<u8>);

/// How far a packet is moved, and whether it comes twice, or is lost.
type Noise = (usize, bool);

/// Segments of both directions as a sender would send them, some lost, some twice, in an order that is a little wrong.
fn noisy() -> impl Strategy<Value = (Vec<Turn>, Vec<Noise>)> {
    let turns = proptest::collection::vec((any::<bool>(), proptest::collection::vec(b'a'..=b'z', 1..40)), 1..30);
    turns.prop_flat_map(|turns| {
        let len = turns.len();
        (Just(turns), proptest::collection::vec((0..4_usize, any::<bool>()), len..=len))
    })
}

proptest! {
    /// Whatever small disorder there is, what was said comes out, and each reply after what it acknowledges.
    #[test]
    fn disorder_and_repetition_change_nothing((turns, noise) in noisy(), mss in 1..50_usize) {
        let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:11211");
        talk.mss = mss;
        let mut talk = talk.open();
        let (mut orig, mut reply) = (String::new(), String::new());
        for (client, bytes) in &turns {
            let text = String::from_utf8_lossy(bytes);
            if *client { orig += &text } else { reply += &text }
            talk = talk.say(if *client { Who::Client } else { Who::Server }, bytes);
        }
        let mut packets = talk.close().packets;
        let head = 3;
        for (n, (shift, twice)) in noise.iter().enumerate() {
            let at = head + n;
            if at + shift < packets.len() - 3 {
                packets.swap(at, at + shift);
                if *twice {
                    let again = packets[at].clone();
                    packets.insert(at + shift, again);
                }
            }
        }
        let (said, stats) = one(&pcap(&packets));
        prop_assert_eq!((said.orig, said.reply, said.ends, stats.missing), (orig, reply, 2, 0));
    }

    /// Bytes that are lost are counted, and nothing else is lost with them.
    #[test]
    fn losses_are_told_and_counted((turns, noise) in noisy()) {
        let mut talk = Talk::new("10.0.0.1:40000", "10.0.0.2:11211").open();
        let mut sent = 0;
        let mut kept = 0;
        for ((client, bytes), (_, lost)) in turns.iter().zip(&noise) {
            let who = if *client { Who::Client } else { Who::Server };
            sent += bytes.len();
            if *lost {
                talk = talk.lose(who, u32::try_from(bytes.len()).expect("short"));
            } else {
                kept += bytes.len();
                talk = talk.say(who, bytes);
            }
        }
        let (said, stats) = one(&pcap(&talk.close().packets));
        prop_assert_eq!(stats.bytes as usize, kept);
        prop_assert_eq!(stats.missing as usize, sent - kept);
        prop_assert_eq!(said.ends, 2);
    }

    /// Captures with anything in them are read to some end.
    #[test]
    fn mutated_captures_never_panic(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
        ng in any::<bool>(),
    ) {
        let packets = talk().close().packets;
        let mut file = if ng { pcapng(&packets) } else { pcap(&packets) };
        // The magic number stays, or it would be raw bytes.
        for (place, byte) in places {
            let at = 4 + place.index(file.len() - 4);
            file[at] = byte;
        }
        file.truncate(24.max(cut.index(file.len() * 2)));
        let _ = read(&file);
    }

    /// So are packets with anything in them, of any link type.
    #[test]
    fn random_packets_never_panic(
        link in prop::sample::select(vec![0_i32, 1, 12, 101, 108, 113, 127, 228, 229, 276, -1]),
        mut data in proptest::collection::vec(any::<u8>(), 0..120),
        shape in 0..3_u8,
        within in prop::sample::select(vec![6_u8, 4, 41, 47, 17, 50]),
        to in prop::sample::select(vec![4789_u16, 6081, 8472, 53]),
    ) {
        if let Some(first) = data.first_mut().filter(|_| shape > 0) {
            *first = if shape == 1 { 0x45 } else { 0x60 };
        }
        if let Some([_, _, high, low, fragment @ .., _, number, _, _]) = data.get_mut(..12).filter(|_| shape == 1) {
            (*high, *low, *number) = (0, 120, within);
            fragment.fill(0);
        }
        if let Some(port) = data.get_mut(22..24).filter(|_| shape == 1) {
            port.copy_from_slice(&to.to_be_bytes());
        }
        let mut table = Table::new(11211, Scribe::default());
        for _ in 0..2 {
            table.packet(super::file::Packet { time: None, link: Linktype(link), data: &data });
        }
        table.end();
    }

    /// Segments with any numbers and flags are bounded work.
    #[test]
    fn random_segments_never_panic(
        segments in proptest::collection::vec((any::<bool>(), any::<u32>(), any::<Option<u32>>(), 0..8_u8, 0..30_usize, 0..3_u32), 0..60),
        near in any::<bool>(),
    ) {
        let (client, server) = ("10.0.0.1:1".parse().expect("an address"), "10.0.0.2:11211".parse().expect("an address"));
        let mut table = Table::new(11211, Scribe::default());
        let payload = [b'x'; 30];
        for (from_client, seq, ack, flags, len, missing) in segments {
            let (source, destination) = if from_client { (client, server) } else { (server, client) };
            let narrow = |number: u32| if near { number % 200 } else { number };
            table.segment(super::Segment {
                source,
                destination,
                seq: narrow(seq),
                ack: ack.map(narrow),
                syn: flags & 1 != 0,
                fin: flags & 2 != 0,
                rst: flags == 4,
                payload: &payload[..len],
                missing,
            }, None);
        }
        table.end();
    }
}
