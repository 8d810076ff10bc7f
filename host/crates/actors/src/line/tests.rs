//! Of one sender and one target, in every way in which a cast may stay a row.

use super::*;

/// A line, the rows that the journal has, and what each target's queue was handed.
struct Post {
    line: Line,
    rows: Vec<(CastId, ActorId, ActorId)>,
    queue: Vec<u64>,
    /// Targets that rows are kept from.
    kept: Vec<ActorId>,
}

fn id(n: u64) -> CastId {
    CastId {
        position: Position(n),
        index: 0,
    }
}

fn actor(key: &str) -> ActorId {
    format!("p:{key}").parse().unwrap()
}

impl Post {
    /// Behind the first pass, which finds nothing.
    fn new() -> Self {
        let mut post = Self {
            line: Line::default(),
            rows: Vec::new(),
            queue: Vec::new(),
            kept: Vec::new(),
        };
        post.pass();
        post
    }

    fn append(&mut self, n: u64, from: &str, to: &str) {
        self.rows.push((id(n), actor(from), actor(to)));
    }

    /// Appends a cast, and hands it on as soon as it is durable.
    fn send(&mut self, n: u64, from: &str) {
        self.append(n, from, "b");
        self.offer(n);
    }

    fn offer(&mut self, n: u64) {
        let (id, from, to) = self.rows.iter().find(|row| row.0 == id(n)).unwrap();
        let kept = self.kept.contains(to);
        if self.line.begin_new(*id, (from, to), kept) == Begun::Now {
            self.queue.push(n);
        }
    }

    fn pass(&mut self) {
        self.line.begin_pass();
        self.pages();
        self.line.end_pass();
    }

    fn pages(&mut self) {
        for _ in 0..3 {
            self.line.begin_page();
            for (id, from, to) in &self.rows {
                if !self.kept.contains(to) && self.line.begin_row(*id, (from, to)) == Begun::Now {
                    self.queue.push(id.position.0);
                }
            }
            if self.line.is_cut_short() || self.line.is_through() {
                return;
            }
        }
        panic!("the pass comes to no end");
    }

    /// The target takes the first of its queue: whether it is handled.
    fn take(&mut self) -> Option<u64> {
        let n = self.queue.remove(0);
        if self.line.is_behind(id(n)) {
            self.line.put_off(id(n));
            return None;
        }
        self.rows.retain(|row| row.0 != id(n));
        self.line.done(id(n));
        Some(n)
    }

    fn take_all(&mut self) -> Vec<u64> {
        let mut handled = Vec::new();
        while !self.queue.is_empty() {
            handled.extend(self.take());
        }
        handled
    }
}

#[test]
fn nothing_overtakes_one_that_is_put_off_and_other_senders_do_not_wait() {
    let mut post = Post::new();
    for n in 1..=3 {
        post.send(n, "a");
    }
    // The first is refused at its target; those in its queue behind it stay rows, too.
    post.queue.remove(0);
    assert!(post.line.put_off(id(1)), "rows are to be read again");
    post.send(4, "a");
    post.send(5, "c");
    assert_eq!(post.queue, [2, 3, 5]);
    assert_eq!(post.take_all(), [5]);
    // While rows are read, a new one stands behind them.
    post.line.begin_pass();
    post.send(6, "a");
    post.pages();
    post.line.end_pass();
    assert_eq!(post.take_all(), [1, 2, 3, 4, 6]);
    post.send(7, "a");
    assert_eq!(post.take_all(), [7], "without another pass");
}

#[test]
fn a_pass_takes_up_nothing_before_what_is_in_the_queue_still() {
    let mut post = Post::new();
    post.send(1, "a");
    post.send(2, "a");
    post.queue.remove(0);
    post.line.put_off(id(1));
    // The second has not come to its target yet: the first must not stand behind it.
    assert!(post.line.begin_pass());
    post.pages();
    post.line.end_pass();
    assert_eq!(post.queue, [2]);
    assert_eq!(post.take_all(), [0; 0]);
    post.pass();
    assert_eq!(post.take_all(), [1, 2]);
}

#[test]
fn what_waits_holds_back_its_own_pair_until_it_is_let_go() {
    let mut post = Post::new();
    post.send(1, "a");
    post.send(2, "a");
    post.queue.remove(0);
    assert!(
        !post.line.wait(id(1)),
        "nothing is to be read before it is let go"
    );
    post.send(3, "a");
    post.send(4, "c");
    assert_eq!(post.take_all(), [4]);
    post.pass();
    assert_eq!(post.queue, [0; 0]);
    assert!(post.line.let_go());
    assert!(!post.line.let_go());
    post.send(5, "a");
    assert_eq!(post.queue, [0; 0], "rows before it have not been read");
    post.pass();
    assert_eq!(post.take_all(), [1, 2, 3, 5]);
}

#[test]
fn one_that_is_let_go_in_the_middle_of_a_pass_is_taken_up_by_the_next() {
    let mut post = Post::new();
    post.send(1, "a");
    post.queue.remove(0);
    post.line.wait(id(1));
    post.send(2, "a");
    post.line.begin_pass();
    let (from, to) = (actor("a"), actor("b"));
    assert_eq!(post.line.begin_row(id(1), (&from, &to)), Begun::Not);
    post.line.let_go();
    assert_eq!(post.line.begin_row(id(2), (&from, &to)), Begun::Not);
    post.line.end_pass();
    post.pass();
    assert_eq!(post.take_all(), [1, 2]);
}

#[test]
fn what_the_last_process_left_comes_before_what_is_new() {
    let mut post = Post {
        line: Line::default(),
        rows: Vec::new(),
        queue: Vec::new(),
        kept: Vec::new(),
    };
    post.append(1, "a", "b");
    post.send(2, "a");
    assert_eq!(post.queue, [0; 0]);
    post.pass();
    assert_eq!(post.take_all(), [1, 2]);
}

#[test]
fn rows_of_one_that_is_released_come_before_what_is_new() {
    let mut post = Post::new();
    post.kept.push(actor("b"));
    post.send(1, "a");
    post.pass();
    post.line.close();
    post.kept.clear();
    post.send(2, "a");
    post.line.reopen();
    post.send(3, "a");
    assert_eq!(post.queue, [0; 0]);
    post.pass();
    assert_eq!(post.take_all(), [1, 2, 3]);
}

#[test]
fn one_whose_sender_has_yet_to_hand_it_on_is_left_to_that() {
    let mut post = Post::new();
    post.send(1, "a");
    // Durable, and in the pages of a pass, before the one in front of it is in the queue.
    post.append(2, "a", "b");
    post.pass();
    assert_eq!(post.queue, [1]);
    post.offer(2);
    assert_eq!(post.take_all(), [1, 2]);
}

#[test]
fn when_as_many_are_on_their_way_as_may_be_the_rest_comes_in_order() {
    let mut post = Post::new();
    let most = IN_FLIGHT_MAX as u64;
    for n in 1..=most + 2 {
        post.send(n, "a");
    }
    assert_eq!(post.queue.len(), IN_FLIGHT_MAX);
    assert_eq!(post.take(), Some(1));
    post.send(most + 3, "a");
    assert_eq!(
        post.queue.len(),
        IN_FLIGHT_MAX - 1,
        "there is room, and others were before"
    );
    post.pass();
    assert_eq!(post.queue.len(), IN_FLIGHT_MAX);
    let mut handled = post.take_all();
    post.pass();
    handled.extend(post.take_all());
    assert!(handled.iter().copied().eq(2..=most + 3));
}

#[test]
fn a_full_queue_takes_as_many_as_fit_in_each_pass() {
    let mut post = Post::new();
    for n in 1..=6 {
        post.send(n, "a");
    }
    // Four fit into the mailbox.
    for n in post.queue.split_off(4) {
        post.line.put_off(id(n));
    }
    assert_eq!(post.take_all(), [1, 2, 3, 4]);
    post.pass();
    assert_eq!(post.take_all(), [5, 6]);
}
