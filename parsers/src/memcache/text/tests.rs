//! Request lines, as tables of named cases.

use super::line::{Expect, MAX_KEY, Then, parse};
use super::reply::{Part, Shape, read};
use crate::memcache::commands::Commands;

/// What a line was read as, in short.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    Taken { name: &'static str, keys: Vec<String>, block: u64, answer: Expect },
    Refused { answer: String, then: Then },
}

fn read_line(line: &[u8]) -> Read {
    let mut scratch = [0; MAX_KEY];
    match parse(line, &mut scratch) {
        Ok(line) => Read::Taken {
            name: line.request.name,
            keys: line.request.keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect(),
            block: line.block,
            answer: line.answer,
        },
        Err(refusal) => {
            let answer = String::from_utf8_lossy(refusal.answer).trim_end().to_owned();
            Read::Refused { answer, then: refusal.then }
        }
    }
}

fn taken(name: &'static str, keys: &[&str], block: u64, answer: Expect) -> Read {
    Read::Taken { name, keys: keys.iter().map(|key| (*key).to_owned()).collect(), block, answer }
}

fn refused(answer: &str, then: Then) -> Read {
    Read::Refused { answer: answer.to_owned(), then }
}

const LINE: Expect = Expect::Reply(Shape::Line);
const VALUES: Expect = Expect::Reply(Shape::Values);
const META: Expect = Expect::Reply(Shape::Meta);
const QUIET: Expect = Expect::Quiet(Shape::Meta);
const SILENT: Expect = Expect::Nothing;

#[test]
fn lines_that_all_versions_read_alike_are_taken() {
    let long = "k".repeat(250);
    let get_long = format!("get {long}");
    for (line, expected) in [
        ("get a", taken("get", &["a"], 0, VALUES)),
        ("get a  b   c  ", taken("get", &["a", "b", "c"], 0, VALUES)),
        ("get a\tb", taken("get", &["a\tb"], 0, VALUES)),
        ("get a\rb", taken("get", &["a\rb"], 0, VALUES)),
        ("gets a b", taken("gets", &["a", "b"], 0, VALUES)),
        ("get noreply", taken("get", &["noreply"], 0, VALUES)),
        (&get_long, taken("get", &[&long], 0, VALUES)),
        ("gat 0 a b", taken("gat", &["a", "b"], 0, VALUES)),
        ("gats -1 a", taken("gats", &["a"], 0, VALUES)),
        ("set a 0 0 0", taken("set", &["a"], 2, LINE)),
        ("set a 4294967295 2592001 5", taken("set", &["a"], 7, LINE)),
        ("set a 0 -1 5 noreply", taken("set", &["a"], 7, SILENT)),
        ("set a 0 0 0000000005", taken("set", &["a"], 7, LINE)),
        ("set a 0 0 2147483645", taken("set", &["a"], 2_147_483_647, LINE)),
        ("set noreply 0 0 5", taken("set", &["noreply"], 7, LINE)),
        ("add a 0 0 1", taken("add", &["a"], 3, LINE)),
        ("replace a 0 0 1", taken("replace", &["a"], 3, LINE)),
        ("append a 0 0 1", taken("append", &["a"], 3, LINE)),
        ("prepend a 0 0 1 noreply", taken("prepend", &["a"], 3, SILENT)),
        ("cas a 0 0 1 18446744073709551615", taken("cas", &["a"], 3, LINE)),
        ("cas a 0 0 1 7 noreply", taken("cas", &["a"], 3, SILENT)),
        ("incr a 18446744073709551615", taken("incr", &["a"], 0, LINE)),
        ("decr a 1 noreply", taken("decr", &["a"], 0, SILENT)),
        ("touch a -1", taken("touch", &["a"], 0, LINE)),
        ("touch a 10 noreply", taken("touch", &["a"], 0, SILENT)),
        ("delete a", taken("delete", &["a"], 0, LINE)),
        ("delete a 0", taken("delete", &["a"], 0, LINE)),
        ("delete a noreply", taken("delete", &["a"], 0, SILENT)),
        ("delete a 0 noreply", taken("delete", &["a"], 0, SILENT)),
        ("version", taken("version", &[], 0, LINE)),
        ("version foo noreply", taken("version", &[], 0, LINE)),
        ("quit", taken("quit", &[], 0, Expect::Reply(Shape::Quit))),
        ("verbosity 1", taken("verbosity", &[], 0, LINE)),
        ("verbosity 1 noreply", taken("verbosity", &[], 0, SILENT)),
        ("flush_all", taken("flush_all", &[], 0, LINE)),
        ("flush_all noreply", taken("flush_all", &[], 0, SILENT)),
        ("flush_all -10", taken("flush_all", &[], 0, LINE)),
        ("flush_all 0 noreply", taken("flush_all", &[], 0, SILENT)),
        ("stats", taken("stats", &[], 0, Expect::Reply(Shape::Stats))),
        ("stats items", taken("stats", &[], 0, Expect::Reply(Shape::Stats))),
        ("stats detail dump", taken("stats", &[], 0, Expect::Reply(Shape::Stats))),
        ("stats cachedump 1 100", taken("stats", &[], 0, Expect::Reply(Shape::Stats))),
        ("cache_memlimit 64", taken("cache_memlimit", &[], 0, LINE)),
        ("slabs reassign -1 3", taken("slabs", &[], 0, LINE)),
        ("slabs automove ratio 0.8", taken("slabs", &[], 0, LINE)),
        ("lru tune 10 25 0.1 2.0", taken("lru", &[], 0, LINE)),
        ("lru mode flat", taken("lru", &[], 0, LINE)),
        ("lru_crawler crawl 1,2,3", taken("lru_crawler", &[], 0, LINE)),
        ("lru_crawler metadump all", taken("lru_crawler", &[], 0, Expect::Reply(Shape::Dump(b"END")))),
        ("lru_crawler mgdump hash", taken("lru_crawler", &[], 0, Expect::Reply(Shape::Dump(b"EN")))),
        ("watch fetchers mutations", taken("watch", &[], 0, Expect::Reply(Shape::Watch))),
        ("shutdown graceful", taken("shutdown", &[], 0, LINE)),
        ("mn", taken("mn", &[], 0, Expect::Reply(Shape::Noop))),
        ("mg a", taken("mg", &["a"], 0, META)),
        ("mg a v t f Oopaque k q", taken("mg", &["a"], 0, QUIET)),
        ("mg YWJj b v", taken("mg", &["abc"], 0, META)),
        ("mg YWI= b", taken("mg", &["ab"], 0, META)),
        ("mg YQ== b", taken("mg", &["a"], 0, META)),
        ("ms a 5 T0 F1", taken("ms", &["a"], 7, META)),
        ("ms YWJj 0 b q", taken("ms", &["abc"], 2, QUIET)),
        ("md a I T30", taken("md", &["a"], 0, META)),
        ("ma a MD D7 J1 N0", taken("ma", &["a"], 0, META)),
        ("me a", taken("me", &["a"], 0, META)),
        ("me a t", taken("me", &["a"], 0, META)),
        ("me YWJj b v", taken("me", &["abc", "YWJj"], 0, META)),
        ("me YWJj b", taken("me", &["abc", "YWJj"], 0, META)),
    ] {
        assert_eq!(read_line(line.as_bytes()), expected, "{line}");
    }
}

#[test]
fn lines_that_the_server_refuses_get_its_error_and_the_connection_lives_on() {
    let long = "k".repeat(251);
    let format = "CLIENT_ERROR bad command line format";
    for (line, answer) in [
        ("", "ERROR"),
        ("   ", "ERROR"),
        ("bogus", "ERROR"),
        ("GET a", "ERROR"),
        ("getfoo a", "ERROR"),
        ("get", "ERROR"),
        ("get\ta", "ERROR"),
        ("bget a", "ERROR"),
        ("*1\r", "ERROR"),
        (&format!("get a {long}"), format),
        ("gat 0", "ERROR"),
        ("gat x a", "CLIENT_ERROR invalid exptime argument"),
        ("gat 2147483648 a", "CLIENT_ERROR invalid exptime argument"),
        ("set a 0 0", "ERROR"),
        ("set a 0 0 -1", format),
        ("set a 0 0 2147483646", format),
        ("set a 0 0 4294967295", format),
        ("set a 0 0 -2147483648", format),
        ("incr a", "ERROR"),
        ("incr a x", "CLIENT_ERROR invalid numeric delta argument"),
        ("incr a +1", "CLIENT_ERROR invalid numeric delta argument"),
        ("incr a -1", "CLIENT_ERROR invalid numeric delta argument"),
        ("incr a 18446744073709551616", "CLIENT_ERROR invalid numeric delta argument"),
        ("incr a x noreply", ""),
        ("incr a noreply", ""),
        ("incr a 1 yes", "ERROR"),
        (&format!("incr {long} 1"), format),
        ("touch a 1x", "CLIENT_ERROR invalid exptime argument"),
        ("delete", "ERROR"),
        ("delete a 10", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
        ("delete a 10 noreply", ""),
        ("delete a 0 0 0", "ERROR"),
        (&format!("delete {long} noreply"), ""),
        ("verbosity", "ERROR"),
        ("verbosity invalid", format),
        ("verbosity noreply", ""),
        ("flush_all invalid", "CLIENT_ERROR invalid exptime argument"),
        ("flush_all 0 1", "ERROR"),
        ("stats r", "ERROR"),
        ("stats reset now", "ERROR"),
        ("stats noreply", "ERROR"),
        ("slabs automove invalid", format),
        ("slabs r 1 2", "ERROR"),
        ("watch everything", "ERROR"),
        ("mn x", "ERROR"),
        ("mg", "ERROR"),
        (&format!("mg {long} v"), format),
        ("mg a v v", "CLIENT_ERROR duplicate flag"),
        ("mg a !", "CLIENT_ERROR invalid flag"),
        ("mg a Z", "CLIENT_ERROR invalid flag"),
        ("mg a vv", "CLIENT_ERROR invalid flag"),
        ("mg a T+5", "CLIENT_ERROR bad token in command line format"),
        ("mg a T", "CLIENT_ERROR bad token in command line format"),
        ("mg a Oabcdefghijklmnopqrstuvwxyz012345", "CLIENT_ERROR opaque token too long"),
        ("mg YWJ b", "CLIENT_ERROR error decoding key"),
        ("mg Y=Jj b", "CLIENT_ERROR error decoding key"),
        ("mg Y\x01WJjYWJj b", "CLIENT_ERROR error decoding key"),
        ("mg ==== b", "CLIENT_ERROR error decoding key"),
        ("ms a", format),
        ("ms a -1", format),
        ("ma a MX", "CLIENT_ERROR invalid mode for ma M token"),
        ("ma a MIx", "CLIENT_ERROR incorrect length for M token"),
        ("me", format),
    ] {
        assert_eq!(read_line(line.as_bytes()), refused(answer, Then::GoOn), "{line}");
    }
}

#[test]
fn values_that_every_version_swallows_are_skipped() {
    for (line, answer, block) in [
        ("ms a 5 Z", "CLIENT_ERROR invalid flag", 7),
        ("ms a 5 T+1", "CLIENT_ERROR bad token in command line format", 7),
        ("ms a 0 k k", "CLIENT_ERROR duplicate flag", 2),
        ("ms a 1 MX", "CLIENT_ERROR invalid mode for ms M token", 3),
        ("ms YWJ 1 b", "CLIENT_ERROR error decoding key", 3),
    ] {
        assert_eq!(read_line(line.as_bytes()), refused(answer, Then::Skip(block)), "{line}");
    }
}

#[test]
fn lines_after_which_versions_go_on_in_different_places_end_the_connection() {
    let long = "k".repeat(251);
    let format = "CLIENT_ERROR bad command line format";
    for (line, answer) in [
        (" get a", "ERROR"),
        ("get a\0 b", "ERROR"),
        ("\0", "ERROR"),
        ("set a 0 0 5 7", "ERROR"),
        ("set a 0 0 5 noreply noreply", "ERROR"),
        ("cas a 0 0 5", "ERROR"),
        ("set a 0 0 -1 noreply", format),
        ("set a 0 0 +5", format),
        ("set a 0 0 -0", format),
        ("set a 0 0 0x5", format),
        ("set a 0 0 5\t", format),
        ("set a 0 0 5\r", format),
        ("set a 0 0 x", format),
        ("set a 0 0 00000000005", format),
        ("set a 0 0 4294967296", format),
        ("set a 0 0 4294967301", format),
        ("set a 0 0 -4294967291", format),
        ("set a 0 0 18446744073709551621", format),
        ("set a -1 0 5", format),
        ("set a x 0 5", format),
        ("set a 0 x 5", format),
        ("set a 0 0x10 5", format),
        ("cas a 0 0 5 x", format),
        ("cas a 0 0 5 noreply", format),
        (&format!("set {long} 0 0 5"), format),
        ("incr a 1 2 noreply", "ERROR"),
        ("bogus noreply", "ERROR"),
        (&format!("ms {long} 5"), format),
        ("ms a 5 !", format),
        ("ms a S5", format),
        ("ms a +5", format),
        ("GET / HTTP/1.1", ""),
        ("POST / HTTP/1.0", ""),
    ] {
        assert_eq!(read_line(line.as_bytes()), refused(answer, Then::Close), "{line}");
    }
}

#[test]
fn meta_commands_need_every_classic_command_that_they_can_perform() {
    for (line, needs) in [
        ("mg a v", Commands::GET),
        ("mg a T30", Commands::GAT),
        ("mg a N30", Commands::GET | Commands::ADD),
        ("ms a 1", Commands::SET),
        ("ms a 1 MS", Commands::SET),
        ("ms a 1 ME", Commands::ADD),
        ("ms a 1 MR", Commands::REPLACE),
        ("ms a 1 MA", Commands::APPEND),
        ("ms a 1 MA N30", Commands::APPEND | Commands::ADD),
        ("ms a 1 MP", Commands::PREPEND),
        ("ms a 1 C7", Commands::CAS),
        ("ms a 1 C7 I", Commands::CAS | Commands::SET),
        ("ms a 1 MR C7", Commands::REPLACE | Commands::CAS),
        ("md a", Commands::DELETE),
        ("md a I T30", Commands::DELETE | Commands::TOUCH),
        ("md a x", Commands::DELETE | Commands::SET),
        ("ma a", Commands::INCR),
        ("ma a M+", Commands::INCR),
        ("ma a MD", Commands::DECR),
        ("ma a N0 T30", Commands::INCR | Commands::ADD | Commands::TOUCH),
        ("me a", Commands::GET),
        ("mn", Commands::NOOP),
    ] {
        let mut scratch = [0; MAX_KEY];
        let found = parse(line.as_bytes(), &mut scratch).map(|line| line.request.needs);
        assert_eq!(found, Ok(needs), "{line}");
    }
}

#[test]
fn reply_lines_are_read_by_the_shape_of_the_reply() {
    for (shape, line, part) in [
        (Shape::Line, "STORED", Some(Part::End(0))),
        (Shape::Line, "17", Some(Part::End(0))),
        (Shape::Line, "SERVER_ERROR out of memory storing object", Some(Part::End(0))),
        (Shape::Line, "END", None),
        (Shape::Line, "VALUE a 0 1", None),
        (Shape::Values, "VALUE a 0 5", Some(Part::More(7))),
        (Shape::Values, "VALUE a 4294967295 0 18446744073709551615", Some(Part::More(2))),
        (Shape::Values, "END", Some(Part::End(0))),
        (Shape::Values, "SERVER_ERROR out of memory writing get response", Some(Part::End(0))),
        (Shape::Values, "VALUE a 0 -1", None),
        (Shape::Values, "VALUE a 0 4294967296", None),
        (Shape::Values, "VALUE a 0", None),
        (Shape::Values, "VALUE a 0 1 2 3", None),
        (Shape::Values, "STORED", None),
        (Shape::Stats, "STAT pid 1", Some(Part::More(0))),
        (Shape::Stats, "ITEM a [1 b; 0 s]", Some(Part::More(0))),
        (Shape::Stats, "PREFIX a get 1", Some(Part::More(0))),
        (Shape::Stats, "END", Some(Part::End(0))),
        (Shape::Stats, "RESET", Some(Part::End(0))),
        (Shape::Stats, "STORED", None),
        (Shape::Meta, "HD", Some(Part::End(0))),
        (Shape::Meta, "VA 5 f0 Oq", Some(Part::End(7))),
        (Shape::Meta, "VA x", None),
        (Shape::Meta, "MN", None),
        (Shape::Meta, "STORED", None),
        (Shape::Noop, "MN", Some(Part::End(0))),
        (Shape::Noop, "ERROR", None),
        (Shape::Dump(b"END"), "key=a exp=-1 la=1", Some(Part::More(0))),
        (Shape::Dump(b"END"), "OK", Some(Part::More(0))),
        (Shape::Dump(b"END"), "END", Some(Part::End(0))),
        (Shape::Dump(b"EN"), "mg a", Some(Part::More(0))),
        (Shape::Dump(b"EN"), "BUSY currently processing crawler request", Some(Part::End(0))),
        (Shape::Watch, "OK", Some(Part::Stream)),
        (Shape::Watch, "WATCHER_TOO_MANY log watcher limit reached", Some(Part::End(0))),
        (Shape::Quit, "OK", None),
    ] {
        assert_eq!(read(shape, line.as_bytes()), part, "{shape:?}: {line}");
    }
}
