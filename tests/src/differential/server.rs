//! A memcached of its own for each play, so that both sides begin with the same state.

use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to listen, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ports at which another process listens on all addresses are passed over.
const ATTEMPTS: usize = 8;

/// A running memcached, ended with this value.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts one on a loopback address of this process, so that tests which run at the same time do not meet.
    ///
    /// # Errors
    /// It does not start, or does not listen.
    pub(super) fn start(program: &Path) -> Result<Self, String> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let address = next_address();
            match Self::start_at(program, address) {
                Ok(server) => return Ok(server),
                Err(error) => why = format!("{}: {error}", program.display()),
            }
        }
        Err(why)
    }

    fn start_at(program: &Path, address: SocketAddr) -> Result<Self, String> {
        let child = Command::new(program)
            .args(["-l", &address.ip().to_string(), "-p", &address.port().to_string(), "-U", "0"])
            // One thread answers as well as four, and starts faster. The maintainer sends crawlers at times of its own, and
            // those of a client are then refused. Only root needs the user, everyone else ignores it.
            .args(["-t", "1", "-m", "64", "-c", "64", "-u", "nobody", "-o", "no_lru_maintainer"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut server = Self { child, address };
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("ended with {status}"));
            }
            if server.connect().is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_micros(500));
        }
        Err("does not listen in time".to_owned())
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it.
    ///
    /// # Errors
    /// It does not listen.
    pub(super) fn connect(&self) -> Result<TcpStream, String> {
        let stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(stream)
    }

    /// Forgets all items.
    ///
    /// # Errors
    /// It does not answer.
    pub(super) fn flush(&self) -> Result<(), String> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        let mut answer = [0; 4];
        stream
            .write_all(b"flush_all\r\n")
            .and_then(|()| stream.read_exact(&mut answer))
            .map_err(|error| error.to_string())?;
        if &answer == b"OK\r\n" { Ok(()) } else { Err("`flush_all` fails".to_owned()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The memcached to test with: what `PORTCULLIS_MEMCACHED` names, or the one on `PATH`.
pub fn find_memcached() -> Option<PathBuf> {
    if let Some(path) = env::var_os("PORTCULLIS_MEMCACHED") {
        return Some(PathBuf::from(path));
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).map(|folder| folder.join("memcached")).find(|path| path.is_file())
}

fn next_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let id = process::id();
    let byte = |shift: u32| u8::try_from(id >> shift & 0x7f).unwrap_or(0);
    let ip = Ipv4Addr::new(127, 1 + byte(14), 1 + byte(7), 1 + byte(0));
    SocketAddr::from((ip, 20_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 40_000))
}
