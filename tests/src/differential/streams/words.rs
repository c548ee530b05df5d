//! What requests are made of: keys, values and numbers, good and bad.

use fastrand::Rng;

/// The key that nothing may reach under the policy of the canary.
pub const CANARY: &str = "secret/canary";

pub(super) fn pick<'a, T: ?Sized>(rng: &mut Rng, list: &[&'a T]) -> &'a T {
    list[rng.usize(..list.len())]
}

pub(super) fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..20) {
        0..10 => pick(rng, &["pub/a", "pub/b", "pub/c", "pub/n", "pub/"]).into(),
        10..13 => CANARY.into(),
        13..15 => pick(rng, &["a", "b", "n", "secret/x"]).into(),
        15 => {
            let len = rng.usize(249..252);
            [b"pub/", vec![b'k'; len - 4].as_slice()].concat()
        }
        16 => b"pub/".iter().copied().chain((0..rng.usize(1..6)).map(|_| rng.u8(0x80..))).collect(),
        17 => pick(rng, &["pub/a\tsecret/canary", "pub/\x0b", "pub/a\r", "\tpub/a", "pub/a\u{a0}b", "pub\0/a"]).into(),
        18 => pick(rng, &["noreply", "END", "VALUE", "0", "-1", "mn", "get", "pub/a,secret/canary", "b", "S5"]).into(),
        _ => (0..rng.usize(1..9)).map(|_| rng.u8(b'!'..0x7f)).collect(),
    }
}

pub(super) fn value(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(..24) {
        0..6 => rng.u32(..1000).to_string().into(),
        6..10 => "v".repeat(rng.usize(..40)).into(),
        10..14 => pick(
            rng,
            &["END\r\n", "a\r\nEND\r\n", "VALUE x 0 2\r\nhi\r\nEND\r\n", "EN\r\n", "MN\r\n", "\r\n", "\n", "\0"],
        )
        .into(),
        14..20 => smuggled(rng),
        20 => "x".repeat(rng.usize(1000..3000)).into(),
        21 => "y".repeat(rng.usize(10_000..40_000)).into(),
        22 if rng.u8(..4) == 0 => "z".repeat((1 << 20) + rng.usize(..2) * 1000 - 500).into(),
        _ => (0..rng.usize(..60)).map(|_| rng.u8(..)).collect(),
    }
}

/// Commands in the place of a value, for whoever reads it as such.
pub(super) fn smuggled(rng: &mut Rng) -> Vec<u8> {
    let end = pick(rng, &["\r\n", "\n"]);
    let command = match rng.u8(..8) {
        0..3 => format!("get {CANARY}"),
        3 => format!("mg {CANARY} v"),
        4 => format!("delete {CANARY}"),
        5 => format!("set {CANARY} 0 0 1{end}x"),
        6 => format!("touch {CANARY} 0"),
        _ => format!("incr {CANARY} 1"),
    };
    let before = pick(rng, &["", "", "\r\n", "x\r\n", "\n"]);
    format!("{before}{command}{end}").into()
}

pub(super) fn exptime(rng: &mut Rng) -> Vec<u8> {
    pick(rng, &["0", "0", "0", "100", "3600", "-1", "2592001"]).into()
}

pub(super) fn flags(rng: &mut Rng) -> Vec<u8> {
    pick(rng, &["0", "0", "0", "1", "42", "65535", "4294967295"]).into()
}

pub(super) fn number(rng: &mut Rng) -> Vec<u8> {
    pick(rng, &["0", "1", "5", "10", "18446744073709551615", "4294967296"]).into()
}

/// What is no plain number, or a very large one.
pub(super) fn odd_number(rng: &mut Rng) -> Vec<u8> {
    let odd = [
        "+5",
        "-5",
        "-0",
        "-1",
        "-2",
        "05",
        "0005",
        "0x5",
        "5x",
        "5.0",
        "1e3",
        "",
        "a",
        "5\t",
        "\t5",
        "5\r",
        "5\0",
        "\u{0b}5",
        "0 ",
        "2147483645",
        "2147483646",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "4294967297",
        "4294967301",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551621",
        "99999999999999999999999",
        "-2147483648",
        "-2147483649",
        "-4294967291",
        "00000000005",
        "000000000000000000000000005",
        "-9223372036854775808",
        "noreply",
        "0b5",
        "010",
        "5,",
        "5;",
    ];
    pick(rng, &odd).into()
}

/// A number written in another way, or one that is nearly it.
pub(super) fn rewritten(rng: &mut Rng, number: u64) -> Vec<u8> {
    match rng.u8(..22) {
        0 => format!("+{number}"),
        1 => format!("-{number}"),
        2 => format!("0{number}"),
        3 => format!("{number}x"),
        4 => format!("0x{number:x}"),
        5 => format!("0{number:o}"),
        6 => format!("{number}.0"),
        7 => format!("{}", number + (1 << 32)),
        8 => format!("{}", u128::from(number) + (1 << 64)),
        9 => format!("{number}\t"),
        10 => format!("{number}\r"),
        11 => format!("{number}\0"),
        12 => format!("{}", number + 1),
        13 => format!("{}", number + 2),
        14 => format!("{}", number.saturating_sub(1)),
        15 => format!("{}", number.saturating_sub(2)),
        16 => "0".to_owned(),
        17 => format!("{number:012}"),
        18 => format!("{}", number.wrapping_neg() & 0xffff_ffff),
        19 => format!("\t{number}"),
        20 => "-1".to_owned(),
        _ => return odd_number(rng),
    }
    .into()
}
