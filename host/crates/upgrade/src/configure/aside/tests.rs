//! What is in force once a call that was given up has returned.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

/// A library that says what it is given, and hangs until it is let go.
struct Library {
    digest: Digest,
    given: Receiver<u32>,
    go: Sender<()>,
    late: Receiver<u32>,
    ends: (Sender<u32>, Sender<u32>, Arc<Mutex<Receiver<()>>>),
}

impl Library {
    fn new() -> Self {
        let ((tell, given), (go, hangs), (end, late)) = (channel(), channel(), channel());
        Self {
            digest: Digest::of(b"a library"),
            given,
            go,
            late,
            ends: (tell, end, Arc::new(Mutex::new(hangs))),
        }
    }

    fn call(&self, aside: &Aside<u32>, what: u32, wait: Duration) -> Came<u32> {
        let (tell, end, hangs) = self.ends.clone();
        let call = move |what: &u32| {
            tell.send(*what).unwrap();
            hangs.lock().recv().unwrap();
            *what
        };
        let late = move |what| end.send(what).unwrap();
        let name = "a library".to_owned();
        aside
            .call(self.digest, name, what, wait, call, late)
            .unwrap()
    }
}

#[test]
fn what_returns_in_time_is_waited_for_and_made_once() {
    let (aside, library) = (Aside::default(), Library::new());
    library.go.send(()).unwrap();
    assert_eq!(library.call(&aside, 1, LONG), Came::Back(1));
    assert_eq!(library.given.try_iter().collect::<Vec<_>>(), [1]);
    assert!(!aside.overtake(library.digest, &2), "it is not out");
}

#[test]
fn what_returns_late_is_made_again_with_the_latest() {
    let (aside, library) = (Aside::default(), Library::new());
    assert_eq!(library.call(&aside, 1, SOON), Came::GivenUp);
    // Neither made nor waited for.
    assert_eq!(library.call(&aside, 2, LONG), Came::StillOut);
    assert!(aside.overtake(library.digest, &3), "given in place");
    assert!(!aside.returns(library.digest, SOON));
    assert_eq!(library.given.recv_timeout(LONG), Ok(1));
    library.go.send(()).unwrap();
    assert_eq!(library.given.recv_timeout(LONG), Ok(3));
    // While it is made again, too.
    assert!(aside.overtake(library.digest, &4));
    library.go.send(()).unwrap();
    assert_eq!(library.given.recv_timeout(LONG), Ok(4));
    library.go.send(()).unwrap();
    assert_eq!(library.late.recv_timeout(LONG), Ok(4));
    assert!(aside.returns(library.digest, LONG));
    assert!(!aside.overtake(library.digest, &5), "it is back");
    library.go.send(()).unwrap();
    assert_eq!(library.call(&aside, 5, LONG), Came::Back(5));
}

#[test]
fn what_is_set_by_then_is_read_again_also_where_nothing_came() {
    let (aside, library) = (Aside::default(), Library::new());
    assert_eq!(library.call(&aside, 1, SOON), Came::GivenUp);
    library.go.send(()).unwrap();
    library.go.send(()).unwrap();
    assert_eq!(library.late.recv_timeout(LONG), Ok(1));
    assert_eq!(library.given.try_iter().count(), 2);
}

#[test]
fn a_call_that_panics_is_out_no_more() {
    let (aside, library) = (Aside::<u32>::default(), Library::new());
    let panics = |_: &u32| -> u32 { panic!("as it was told to") };
    let name = "a library".to_owned();
    let came = aside.call(library.digest, name, 1, LONG, panics, |_| {});
    assert!(came.is_err(), "{came:?}");
    library.go.send(()).unwrap();
    assert!(!aside.overtake(library.digest, &2));
    assert_eq!(library.call(&aside, 3, LONG), Came::Back(3));
}

#[test]
fn one_library_that_hangs_holds_no_other_up() {
    let (aside, library) = (Aside::default(), Library::new());
    assert_eq!(library.call(&aside, 1, SOON), Came::GivenUp);
    let mut other = Library::new();
    other.digest = Digest::of(b"another");
    other.go.send(()).unwrap();
    assert_eq!(other.call(&aside, 1, LONG), Came::Back(1));
}
