//! A key that the policy does not admit: whatever is sent, it is neither told nor changed, and the server's own log of what
//! it fetched and stored has nothing that the policy does not admit.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_proxylib::testing::Cut;

use super::client::{Pace, play};
use super::relay::Relay;
use super::server::Server;
use super::streams::{CANARY, Protocol, Stream, cut, protocol_of, tail};

/// Admits every command with keys below `pub/`, and those without keys that leave items alone.
const ONLY_PUB: &str = "[{command: get, keyPrefix: pub/}, {command: gat, keyPrefix: pub/}, \
                        {command: writeGroup, keyPrefix: pub/}, {command: version}, {command: noop}, {command: verbosity}, \
                        {command: quit}]";

/// What no stream holds, so that it can only come from the server.
const VALUE: &str = "canary-4b1d";

/// Streams that one server sees.
const STREAMS: usize = 100;

/// How long the server may take to write a line of its log.
const PATIENCE: Duration = Duration::from_secs(20);

/// Watches a server while streams go to it.
pub struct Guard {
    memcached: PathBuf,
    post: Option<Post>,
}

/// One server, and those who watch it.
struct Post {
    server: Server,
    control: BufReader<TcpStream>,
    watch: BufReader<TcpStream>,
    /// How the log names the control connection.
    own: String,
    /// What is known of the canary.
    canary: String,
    streams: usize,
}

impl Guard {
    /// One that plays to this program.
    pub fn new(memcached: &Path) -> Self {
        Self { memcached: memcached.to_owned(), post: None }
    }

    /// Plays a stream under the policy.
    ///
    /// # Errors
    /// How the canary was reached, or that the connection hung.
    pub fn judge(&mut self, stream: &Stream) -> Result<(), String> {
        let mut post = match self.post.take().filter(|post| post.streams < STREAMS) {
            Some(post) => post,
            None => Post::start(&self.memcached)?,
        };
        post.streams += 1;
        let bytes = stream.bytes();
        let pieces = cut(&[bytes.clone(), tail(protocol_of(&bytes))].concat(), !stream.seed);
        let relay = Relay::open(
            ONLY_PUB,
            post.server.address(),
            if stream.seed.is_multiple_of(2) { Cut::Whole } else { Cut::Random(stream.seed) },
        )?;
        let reply = play(&relay.client, &pieces, Pace::Fast, false);
        let fail = |why: &str| {
            Err(format!("{why}\n  sent    {}\n  through {}", bytes.escape_ascii(), reply.bytes.escape_ascii()))
        };
        if reply.bytes.windows(VALUE.len()).any(|window| window == VALUE.as_bytes()) {
            return fail("the canary was told");
        }
        if reply.hung {
            return fail("the connection hangs");
        }
        relay.finish()?;
        let touched = match post.touched_since() {
            Ok(touched) => touched,
            // While its mutations are watched, memcached (1.6.18) does not survive a binary value that is too large for it
            // (`process_bin_update` asks for the class of an item that it did not get).
            Err(_) if protocol_of(&bytes) == Protocol::Binary => return Ok(()),
            Err(why) => return fail(&why),
        };
        if !touched.is_empty() {
            return fail(&format!("the server was made to touch:\n  {}", touched.join("\n  ")));
        }
        let canary = post.ask_for_canary()?;
        if canary != post.canary {
            return fail(&format!("the canary is `{canary}`, and was `{}`", post.canary));
        }
        self.post = Some(post);
        Ok(())
    }
}

impl Post {
    fn start(memcached: &Path) -> Result<Self, String> {
        let server = Server::start(memcached)?;
        let open = || {
            let stream = server.connect()?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
            Ok::<_, String>(BufReader::new(stream))
        };
        let (control, watch) = (open()?, open()?);
        let mut post = Self { server, control, watch, own: String::new(), canary: String::new(), streams: 0 };
        say(&mut post.control, &format!("set {CANARY} 0 0 {}\r\n{VALUE}\r\n", VALUE.len()))?;
        expect(&mut post.control, "STORED")?;
        say(&mut post.watch, "watch fetchers mutations\r\n")?;
        expect(&mut post.watch, "OK")?;
        post.touched_since()?;
        post.canary = post.ask_for_canary()?;
        Ok(post)
    }

    /// What the server fetched and stored since this was last asked that the policy does not admit.
    fn touched_since(&mut self) -> Result<Vec<String>, String> {
        let marker = format!("marker-{}", self.streams);
        say(&mut self.control, &format!("get {marker}\r\n"))?;
        expect(&mut self.control, "END")?;
        let mut touched = Vec::new();
        loop {
            let entry = line(&mut self.watch)?;
            let field = |name: &str| entry.split(' ').find_map(|word| word.strip_prefix(name)).unwrap_or_default();
            if field("key=") == marker {
                self.own = field("cfd=").to_owned();
                return Ok(touched);
            }
            if field("cfd=") != self.own && !field("key=").starts_with("pub%2F") {
                touched.push(entry);
            }
        }
    }

    /// Its value, `cas` unique, time to live and client flags.
    fn ask_for_canary(&mut self) -> Result<String, String> {
        say(&mut self.control, &format!("mg {CANARY} v c t f\r\n"))?;
        let mut answer = line(&mut self.control)?;
        if answer.starts_with("VA ") {
            answer = format!("{answer} {}", line(&mut self.control)?);
        }
        Ok(answer)
    }
}

fn say(stream: &mut BufReader<TcpStream>, text: &str) -> Result<(), String> {
    stream.get_mut().write_all(text.as_bytes()).map_err(|error| format!("the server is gone: {error}"))
}

fn line(stream: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).map_err(|error| format!("the server does not answer: {error}"))?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn expect(stream: &mut BufReader<TcpStream>, wanted: &str) -> Result<(), String> {
    let found = line(stream)?;
    if found == wanted { Ok(()) } else { Err(format!("wanted `{wanted}`, found `{found}`")) }
}
