//! Writes what is there to begin with, `<folder>/<target>/<name>`: the scenarios, requests of every kind, sample
//! policies.

mod engines;

use std::path::Path;
use std::{env, fs, io};

use portcullis_fuzz::encode;

/// One of each: with the server's cue (0xfe `s`) between some.
const TEXT: &[&[u8]] = &[
    b"\x01\x07get a\r\ngets a b\r\ngat 0 a\r\ngats 0 a b\r\nset a 0 0 1\r\nx\r\n\xfescas a 0 0 1 5\r\nx\r\n",
    b"\x01\x07incr a 1\r\ndecr a 1 noreply\r\ndelete a\r\ntouch a 0\r\n\xfes\xfecadd a 0 0 0 noreply\r\n\r\nappend a 0 0 1\r\nx\r\n",
    b"\x01\x07mg a v q\r\nmg YQ== b v k O1\r\nms a 1 MA N0 q\r\nx\r\nmd a I x T0\r\nma a N0 J1 D2 MD q\r\nme a\r\nmn\r\n",
    b"\x01\x07stats\r\nstats items\r\nversion\r\nverbosity 1\r\nflush_all 0 noreply\r\nslabs automove 1\r\nlru mode flat\r\n",
    b"\x01\x07lru_crawler metadump all\r\nlru_crawler mgdump all\r\nlru_crawler crawl all\r\nwatch fetchers\r\nget a\r\n",
    b"\x01\x07cache_memlimit 64\r\nextstore recache_rate 1\r\nmisbehave\r\nshutdown\r\nrefresh_certs\r\nquit\r\nget a\r\n",
    b"\x02\x07get a\r\nget no a\r\nmg a q\r\nget no\r\nmg b q\r\nget ab ac\r\n",
    b"\x03\x07get no\r\nset nothing 0 0 5\r\nget a\r\nset a 0 0 5\r\nget a\r\n",
    b"\x19\x07set u 0 0 3\r\nu p\r\n\xfes\xfecget a\r\nset no 0 0 1\r\nx\r\n",
    b"\x01\x07\xfeF\xfecmg a q\r\nget a\r\nget no\r\n\xfer\xff\xfef\xfes\xfecget a\r\n",
    b"\x02\x07mn\r\nget a\r\nx\r\n\xfer\xff\xfecmg a q\r\nget no\r\nset no 0 0 3\r\nabc\r\n\xfer\xff",
    b"\x01\x07set a 0 0 -1\r\nset a 0 0 +1\r\nset a x 0 1\r\nGET / HTTP/1.1\r\n\r\n",
];

const R2D2: &[&[u8]] = &[
    b"\x01\x07READ a\r\nWRITE b\r\nHALT\r\nRESET\r\n\xfesDONE\r\nDONE\r\n\xfecREAD a b\r\n\xfeC\xfesDONE\r\nDONE\r\n\xfeS",
    b"\x02\x07READ a\r\nREAD b\r\nHALT\r\n\xfer\xff\xfesDONE\r\n\xfer\xff",
    b"\x03\x07\xfeF\xfecREAD nothing\r\nREAD a\r\n\xfer\x40\xfes1\r\n\xfef",
    b"\x00\x07READ a\r\nREAD\xffa\r\nREAD \r\n\r\n\n\rREAD a\n",
];

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or_else(|| "seeds".to_owned());
    let folder = Path::new(&folder);
    for (target, seeds) in [("memcache_text", TEXT), ("memcache_replies", TEXT), ("r2d2", R2D2)] {
        for (n, seed) in seeds.iter().enumerate() {
            write(folder, target, &format!("seed-{n}"), seed)?;
        }
    }
    // Every opcode: allowed, denied by its key, and with each thing that may be wrong.
    for settings in 0..4_u8 {
        for (n, wrong) in [0, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5_u8].into_iter().enumerate() {
            let mut seed = vec![settings, 7];
            for opcode in 0..=0x25_u8 {
                // `quit` would be the last.
                if wrong != 0 || !matches!(opcode, 0x07 | 0x17) {
                    seed.extend([opcode, 2, 3, opcode & 1, wrong]);
                }
                if opcode % 5 == 0 {
                    seed.extend([0xfe, 0, 0, 0, 0]);
                }
            }
            write(folder, "memcache_binary", &format!("seed-{settings}-{n}"), &seed)?;
        }
    }
    write(folder, "memcache_binary", "quit", b"\x01\x07\x00\x02\x00\x00\x00\x07\x00\x00\x00\x00\x00\x02\x00\x00\x00")?;
    for (file, scenario) in portcullis_tests::scenarios() {
        let name = file.replace('/', "-");
        // What is only long teaches nothing.
        if let Some((target, seed)) = encode(&scenario).filter(|(_, seed)| seed.len() < 4096) {
            write(folder, target, &name, &seed)?;
        }
        write(folder, "policy", &name, scenario.policy_text().as_bytes())?;
    }
    engines::write_all(folder)?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for samples in ["envoy-config/policies", "policy/testdata/documented"] {
        for entry in fs::read_dir(root.join(samples))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            write(folder, "policy", &name, &fs::read(&path)?)?;
        }
    }
    Ok(())
}

fn write(folder: &Path, target: &str, name: &str, seed: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), seed)
}
