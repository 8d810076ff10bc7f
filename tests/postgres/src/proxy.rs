//! What stands between a client and a server, and makes trouble: it cuts, stalls, or
//! swallows a request or the answer to it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;

use anyhow::Result;

use crate::server::at_port;

/// What becomes of what passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing: it passes.
    None,
    /// All connections are cut, and new ones too.
    Cut,
    /// Nothing passes until the trouble is over; what was sent passes then.
    Stall,
    /// The next request that holds these bytes is not passed on, and its connection cut.
    SwallowRequest(Vec<u8>),
    /// The next request that holds these bytes is passed on, and its connection cut
    /// when the server has answered, without the answer.
    SwallowAnswer(Vec<u8>),
    /// The next request that holds these bytes is passed on, and from then on nothing
    /// passes on its connection, in neither direction, as when a cable is pulled.
    Mute(Vec<u8>),
}

/// A listener on loopback that passes all on to a server.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    to: u16,
    trouble: Trouble,
    /// How often something was swallowed or muted.
    struck: u32,
    /// Connections that were cut before they began.
    refused: u32,
    open: Vec<TcpStream>,
    over: bool,
}

impl Proxy {
    /// A proxy to the server on this port of loopback.
    ///
    /// # Errors
    ///
    /// That there is no port to be had.
    pub fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                to,
                trouble: Trouble::None,
                struck: 0,
                refused: 0,
                open: Vec::new(),
                over: false,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.state().over {
                    return;
                }
                // A server that is away: the client sees its connection cut.
                let _ = accepting.connect(client);
            }
        });
        Ok(Self { port, shared })
    }

    /// The address of a database of the server behind it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        at_port(self.port, database)
    }

    /// Makes trouble, or ends it.
    pub fn make(&self, trouble: Trouble) {
        let mut state = self.shared.state();
        if trouble == Trouble::Cut {
            state.cut();
        }
        state.trouble = trouble;
        self.shared.changed.notify_all();
    }

    /// Leads to another server from now on, as a virtual address does after a
    /// fail-over; what is open is cut.
    pub fn redirect(&self, to: u16) {
        let mut state = self.shared.state();
        state.to = to;
        state.cut();
    }

    /// How often something was swallowed or muted so far.
    #[must_use]
    pub fn struck(&self) -> u32 {
        self.shared.state().struck
    }

    /// How many connections were cut before they began.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.shared.state().refused
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.over = true;
        state.trouble = Trouble::Cut;
        state.cut();
        self.shared.changed.notify_all();
        drop(state);
        // Wakes the one who accepts, so that he ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn cut(&mut self) {
        for stream in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }

    fn connect(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        let to = {
            let mut state = self.state();
            if state.trouble == Trouble::Cut {
                state.refused += 1;
                return Ok(());
            }
            state.to
        };
        let server = TcpStream::connect(("127.0.0.1", to))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            self.state().open.push(stream.try_clone()?);
        }
        let fate = Arc::new(Mutex::new(Fate::Passes));
        for (from, to, is_request) in [
            (client.try_clone()?, server.try_clone()?, true),
            (server, client, false),
        ] {
            let (shared, fate) = (Arc::clone(self), Arc::clone(&fate));
            thread::spawn(move || {
                let _ = shared.pump(&from, &to, is_request, &fate);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        }
        Ok(())
    }

    fn pump(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        is_request: bool,
        fate: &Mutex<Fate>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            let chunk = &buffer[..read];
            let now = {
                let mut fate = fate.lock().expect("nobody panics while holding it");
                if is_request && *fate == Fate::Passes {
                    *fate = self.fate_of(chunk);
                }
                *fate
            };
            match (now, is_request) {
                (Fate::Passes, _) => {}
                (Fate::Silent, false) => {
                    self.wait_for_the_end();
                    return Ok(());
                }
                (Fate::Silent, true) => {}
                (Fate::Dropped, _) | (Fate::Unanswered, false) => return Ok(()),
                (Fate::Unanswered, true) => {}
            }
            if !self.wait_while_stalled() {
                return Ok(());
            }
            to.write_all(chunk)?;
        }
    }

    /// What becomes of a connection with this request.
    fn fate_of(&self, chunk: &[u8]) -> Fate {
        let mut state = self.state();
        let (marker, fate) = match &state.trouble {
            Trouble::SwallowRequest(marker) => (marker, Fate::Dropped),
            Trouble::SwallowAnswer(marker) => (marker, Fate::Unanswered),
            Trouble::Mute(marker) => (marker, Fate::Silent),
            _ => return Fate::Passes,
        };
        if !chunk.windows(marker.len()).any(|part| part == marker) {
            return Fate::Passes;
        }
        state.trouble = Trouble::None;
        state.struck += 1;
        fate
    }

    /// False: it is cut.
    fn wait_while_stalled(&self) -> bool {
        let mut state = self.state();
        while state.trouble == Trouble::Stall {
            state = self.changed.wait(state).expect("nobody panics");
        }
        state.trouble != Trouble::Cut
    }

    fn wait_for_the_end(&self) {
        let mut state = self.state();
        while !state.over && state.trouble != Trouble::Cut {
            state = self.changed.wait(state).expect("nobody panics");
        }
    }
}

/// What a request has made of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Passes,
    /// The request is gone, and the connection with it.
    Dropped,
    /// The answer will be.
    Unanswered,
    /// The request passes, and no answer ever.
    Silent,
}
