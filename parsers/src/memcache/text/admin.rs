//! Commands without keys. Their words must be exactly these: the newer parser also takes any beginning of a word for it.

use super::line::{BAD_EXPTIME, BAD_FORMAT, ERROR, Expect, Few, Line, NOREPLY, Refusal, is_i32, unsigned};
use super::reply::Shape;
use crate::memcache::commands::Commands;
use crate::memcache::request::{Keys, Request, Words};

/// Reads the words after a command that is none of those with keys.
pub(super) fn parse<'a>(command: &[u8], rest: &[u8]) -> Result<Line<'a>, Refusal> {
    let words = Few::read(rest);
    let words = words.all();
    let line = |name, needs, answer| Ok(Line { request: Request { name, needs, keys: Keys::None }, block: 0, answer });
    let reply = |name, needs| line(name, needs, Expect::Reply(Shape::Line));
    let maybe = |name, needs, noreply| if noreply { line(name, needs, Expect::Nothing) } else { reply(name, needs) };
    match (command, words) {
        // All versions ignore what stands behind it, `noreply` too.
        (b"version", _) => reply("version", Commands::VERSION),
        (b"quit", []) => line("quit", Commands::QUIT, Expect::Reply(Shape::Quit)),
        (b"verbosity", []) => Err(Refusal::go_on(ERROR)),
        (b"verbosity", [level]) if is_u32(level) => reply("verbosity", Commands::VERBOSITY),
        (b"verbosity", [level, NOREPLY]) if is_u32(level) => line("verbosity", Commands::VERBOSITY, Expect::Nothing),
        (b"verbosity", [_] | [_, NOREPLY]) => Err(Refusal::unless(words.contains(&NOREPLY), BAD_FORMAT)),
        (b"flush_all", []) => reply("flush_all", Commands::FLUSH_ALL),
        (b"flush_all", [NOREPLY]) => line("flush_all", Commands::FLUSH_ALL, Expect::Nothing),
        (b"flush_all", [delay]) if is_i32(delay) => reply("flush_all", Commands::FLUSH_ALL),
        (b"flush_all", [delay, NOREPLY]) if is_i32(delay) => line("flush_all", Commands::FLUSH_ALL, Expect::Nothing),
        (b"flush_all", [_] | [_, NOREPLY]) => Err(Refusal::unless(words.contains(&NOREPLY), BAD_EXPTIME)),
        (b"stats", words) if is_stats(words) => line("stats", Commands::STATS, Expect::Reply(Shape::Stats)),
        (b"stats", [b"detail"] | [b"detail", _]) => Err(Refusal::go_on(BAD_DETAIL)),
        // `noreply` is no more than a topic here.
        (b"stats", _) => Err(Refusal::go_on(ERROR)),
        (b"cache_memlimit", [megabytes]) if is_u32(megabytes) => reply("cache_memlimit", Commands::CACHE_MEMLIMIT),
        (b"cache_memlimit", [megabytes, NOREPLY]) if is_u32(megabytes) => {
            maybe("cache_memlimit", Commands::CACHE_MEMLIMIT, true)
        }
        (b"slabs", [b"automove", mode]) if *mode != b"ratio" && !is_u32(mode) => Err(Refusal::go_on(BAD_FORMAT)),
        (b"slabs", words) if is_slabs(words) => reply("slabs", Commands::SLABS),
        (b"slabs", [b"reassign", _, last]) if *last != NOREPLY => Err(Refusal::go_on(BAD_FORMAT)),
        (b"lru", words) if is_lru(words) => reply("lru", Commands::LRU),
        (b"lru_crawler", [b"metadump", class]) if is_name(class) => {
            line("lru_crawler", Commands::LRU_CRAWLER, Expect::Reply(Shape::Dump(b"END")))
        }
        (b"lru_crawler", [b"mgdump", class]) if is_name(class) => {
            line("lru_crawler", Commands::LRU_CRAWLER, Expect::Reply(Shape::Dump(b"EN")))
        }
        (b"lru_crawler", words) if is_crawler(words) => reply("lru_crawler", Commands::LRU_CRAWLER),
        (b"lru_crawler", [b"tocrawl" | b"sleep", last]) if *last != NOREPLY => Err(Refusal::go_on(BAD_FORMAT)),
        (b"watch", words) if words.iter().all(|topic| WATCH_TOPICS.contains(topic)) => {
            line("watch", Commands::WATCH, Expect::Reply(Shape::Watch))
        }
        (b"extstore", [setting, value]) if is_name(setting) && is_number(value) => {
            reply("extstore", Commands::EXTSTORE)
        }
        (b"misbehave", []) => reply("misbehave", Commands::MISBEHAVE),
        (b"shutdown", [] | [b"graceful"]) => reply("shutdown", Commands::SHUTDOWN),
        (b"refresh_certs", []) => reply("refresh_certs", Commands::REFRESH_CERTS),
        // As memcached does: whoever speaks HTTP gets no answer that a script could read.
        _ if is_http(rest) => Err(Refusal::close(b"")),
        _ => Err(Refusal::excess(words)),
    }
}

fn is_stats(words: &[&[u8]]) -> bool {
    match words {
        [] => true,
        [topic] => STATS_TOPICS.contains(topic),
        [b"detail", what] => matches!(*what, b"on" | b"off" | b"dump"),
        [b"cachedump", class, limit] => is_u32(class) && is_u32(limit),
        _ => false,
    }
}

fn is_slabs(words: &[&[u8]]) -> bool {
    match words {
        [b"reassign", from, to] => is_i32(from) && is_i32(to),
        [b"automove", b"ratio" | b"freeratio" | b"window", number] => is_number(number),
        [b"automove", mode] => is_u32(mode),
        _ => false,
    }
}

fn is_lru(words: &[&[u8]]) -> bool {
    match words {
        [b"mode", b"flat" | b"segmented"] => true,
        [b"temp_ttl", ttl] => is_i32(ttl),
        [b"tune", hot, warm, hot_factor, warm_factor] => {
            is_u32(hot) && is_u32(warm) && is_number(hot_factor) && is_number(warm_factor)
        }
        _ => false,
    }
}

fn is_crawler(words: &[&[u8]]) -> bool {
    match words {
        [b"enable" | b"disable"] => true,
        [b"crawl", class] => is_name(class),
        [b"tocrawl" | b"sleep", number] => is_u32(number),
        _ => false,
    }
}

fn is_http(rest: &[u8]) -> bool {
    Words::new(rest).last().is_some_and(|last| last.starts_with(b"HTTP/"))
}

fn is_u32(word: &[u8]) -> bool {
    unsigned(word, 10).is_some_and(|number| u32::try_from(number).is_ok())
}

/// Decimal digits with at most one point between them.
fn is_number(word: &[u8]) -> bool {
    let mut parts = word.split(|&byte| byte == b'.');
    let is_part = |part: &[u8]| unsigned(part, 9).is_some();
    parts.next().is_some_and(is_part) && parts.next().is_none_or(is_part) && parts.next().is_none()
}

/// A word such as `all`, `hash`, `item_age` or `1,2,3`.
fn is_name(word: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b',' | b'_'))
}

const BAD_DETAIL: &[u8] = b"CLIENT_ERROR usage: stats detail on|off|dump\r\n";

const STATS_TOPICS: &[&[u8]] = &[
    b"settings",
    b"items",
    b"slabs",
    b"sizes",
    b"sizes_enable",
    b"sizes_disable",
    b"conns",
    b"extstore",
    b"reset",
    b"threads",
    b"proxy",
    b"proxyfuncs",
    b"proxybe",
];

const WATCH_TOPICS: &[&[u8]] = &[
    b"fetchers",
    b"mutations",
    b"evictions",
    b"sysevents",
    b"connevents",
    b"rawcmds",
    b"deletions",
    b"proxyreqs",
    b"proxyevents",
    b"proxyuser",
    b"proxycmds",
];
