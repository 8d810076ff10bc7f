//! Every way in which a cast may stay a row, with a journal and one target's queue beside.

use host_journal::Position;
use proptest::prelude::*;

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
        assert!(post.pass());
        post
    }

    fn append(&mut self, n: u64, from: &str) {
        self.rows.push((id(n), actor(from), actor("b")));
    }

    /// Appends a cast, and hands it on as soon as it is durable.
    fn send(&mut self, n: u64, from: &str) {
        self.append(n, from);
        self.hand_on(n);
    }

    fn hand_on(&mut self, n: u64) {
        let (id, from, to) = self.rows.iter().find(|row| row.0 == id(n)).unwrap();
        let kept = self.kept.contains(to);
        if self.line.begin_new(*id, (from, to), kept) {
            self.queue.push(n);
        }
    }

    /// A whole pass, if one is due.
    fn pass(&mut self) -> bool {
        let due = self.line.begin_pass();
        if due {
            self.pages(usize::MAX);
            self.line.end_pass();
        }
        due
    }

    /// Reads pages of so many rows to the end.
    fn pages(&mut self, size: usize) {
        let mut after = self.line.behind();
        for _ in 0..1_000 {
            if self.page(&mut after, size) {
                return;
            }
        }
        panic!("the pass comes to no end");
    }

    /// Reads a page: whether the pass is over.
    fn page(&mut self, after: &mut Option<CastId>, size: usize) -> bool {
        self.line.begin_page();
        let rows = self.rows.iter().filter(|row| Some(row.0) > *after);
        let page: Vec<_> = rows.take(size).cloned().collect();
        for (id, from, to) in &page {
            self.row(*id, from, to);
        }
        *after = page.last().map(|row| row.0).or(*after);
        self.line.is_over(page.len() < size)
    }

    fn row(&mut self, id: CastId, from: &ActorId, to: &ActorId) {
        let kept = self.kept.contains(to);
        if self.line.begin_row(id, (from, to), kept) {
            self.queue.push(id.position.0);
        }
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
    assert!(post.line.begin_pass());
    post.send(6, "a");
    post.pages(2);
    post.line.end_pass();
    assert_eq!(post.take_all(), [1, 2, 3, 4, 6]);
    post.send(7, "a");
    assert_eq!(post.take_all(), [7], "without another pass");
    assert!(!post.pass());
}

#[test]
fn a_pass_takes_up_nothing_before_what_is_in_the_queue_still() {
    let mut post = Post::new();
    for n in 1..=3 {
        post.send(n, "a");
    }
    post.queue.remove(0);
    post.line.put_off(id(1));
    post.send(4, "a");
    // The second and third have not come to their target yet; the fourth must not come
    // to it between them and their next turn.
    assert!(post.pass());
    assert_eq!(post.queue, [2, 3, 1]);
    assert_eq!(post.take_all(), [1]);
    assert!(post.pass());
    assert_eq!(post.take_all(), [2, 3, 4]);
    assert!(!post.pass());
}

#[test]
fn what_waits_holds_back_its_own_pair_until_it_is_let_go() {
    let mut post = Post::new();
    post.send(1, "a");
    post.send(2, "a");
    post.queue.remove(0);
    assert!(!post.line.wait(id(1)), "nothing is due before it is let go");
    post.send(3, "a");
    post.send(4, "c");
    assert_eq!(post.take_all(), [4]);
    assert!(!post.pass());
    post.line.look_again();
    assert!(post.pass());
    assert_eq!(post.queue, [0; 0]);
    assert!(post.line.let_go());
    assert!(!post.line.let_go());
    post.send(5, "a");
    assert_eq!(post.queue, [0; 0], "rows before it have not been read");
    assert!(post.pass());
    assert_eq!(post.take_all(), [1, 2, 3, 5]);
}

#[test]
fn what_came_before_one_that_waits_is_taken_up_all_the_same() {
    let mut post = Post::new();
    for n in 1..=3 {
        post.send(n, "a");
    }
    post.queue.clear();
    // The target does not know the second; what it did about the first is lost.
    assert!(!post.line.wait(id(2)));
    assert!(!post.line.put_off(id(3)));
    assert!(post.line.put_off(id(1)));
    assert!(post.pass());
    assert_eq!(post.take_all(), [1]);
    post.line.let_go();
    assert!(post.pass());
    assert_eq!(post.take_all(), [2, 3]);
}

#[test]
fn one_that_is_let_go_in_the_middle_of_a_pass_is_taken_up_by_the_next() {
    let mut post = Post::new();
    post.send(1, "a");
    post.queue.remove(0);
    post.line.wait(id(1));
    post.send(2, "a");
    post.line.look_again();
    assert!(post.line.begin_pass());
    post.row(id(1), &actor("a"), &actor("b"));
    post.line.let_go();
    post.row(id(2), &actor("a"), &actor("b"));
    assert_eq!(post.queue, [0; 0]);
    assert!(post.line.is_over(true));
    post.line.end_pass();
    assert!(post.pass());
    assert_eq!(post.take_all(), [1, 2]);
}

#[test]
fn what_the_last_process_left_comes_before_what_is_new() {
    let mut post = Post {
        line: Line::default(),
        ..Post::new()
    };
    post.append(1, "a");
    post.send(2, "a");
    assert_eq!(post.queue, [0; 0]);
    assert!(post.pass());
    assert_eq!(post.take_all(), [1, 2]);
}

#[test]
fn rows_of_one_that_is_released_come_before_what_is_new() {
    let mut post = Post::new();
    post.kept.push(actor("b"));
    post.send(1, "a");
    assert!(!post.pass(), "nobody asks until it is released");
    post.kept.clear();
    post.send(2, "a");
    post.line.look_again();
    post.send(3, "a");
    assert_eq!(post.queue, [0; 0]);
    assert!(post.pass());
    assert_eq!(post.take_all(), [1, 2, 3]);
}

#[test]
fn one_whose_sender_has_yet_to_hand_it_on_is_left_to_that() {
    let mut post = Post::new();
    post.append(1, "a");
    post.append(2, "a");
    post.line.look_again();
    assert!(post.pass());
    assert_eq!(post.queue, [0; 0]);
    // Where one before it is held, the pass may be faster.
    post.hand_on(1);
    post.queue.clear();
    post.line.put_off(id(1));
    assert!(post.pass());
    assert_eq!(post.queue, [1, 2]);
    post.hand_on(2);
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
    post.send(most + 4, "c");
    assert_eq!(post.queue.pop(), Some(most + 4), "others do not wait");
    post.line.done(id(most + 4));
    post.rows.pop();
    assert!(post.pass());
    assert_eq!(post.queue.len(), IN_FLIGHT_MAX);
    let mut handled = post.take_all();
    assert!(post.pass());
    handled.extend(post.take_all());
    assert!(handled.iter().copied().eq(2..=most + 3));
}

#[test]
fn where_no_more_can_be_held_rows_are_taken_up_all_the_same() {
    let mut post = Post::new();
    post.kept.push(actor("b"));
    for n in 1..=HELD_MAX as u64 + 1 {
        let from: ActorId = format!("p:{n}").parse().unwrap();
        assert!(!post.line.begin_new(id(n), (&from, &actor("b")), true));
    }
    let last = format!("{}", HELD_MAX + 1);
    post.append(HELD_MAX as u64 + 1, &last);
    post.kept.clear();
    post.line.look_again();
    assert!(post.pass());
    assert_eq!(post.take_all(), [HELD_MAX as u64 + 1]);
    post.append(HELD_MAX as u64 + 2, &last);
    post.line.look_again();
    assert!(post.pass());
    assert_eq!(post.queue, [0; 0], "and left to their senders again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens to them, each cast is handled once, those of one sender in order.
    #[test]
    fn casts_of_one_sender_come_once_and_in_order(
        steps in proptest::collection::vec((0_u8..12, 0_usize..3), 0..400),
    ) {
        let mut campaign = Campaign::default();
        for step in steps {
            campaign.step(step);
        }
        campaign.end()?;
    }
}

const SENDERS: [&str; 3] = ["a", "c", "d"];

/// A post to which anything happens at any time.
struct Campaign {
    post: Post,
    /// By number from 1 on.
    senders: Vec<&'static str>,
    /// As many of them as their senders have handed on.
    handed_on: usize,
    handled: Vec<u64>,
    /// While a pass runs: the last row that it has read.
    passes: Option<Option<CastId>>,
}

impl Default for Campaign {
    fn default() -> Self {
        Self {
            post: Post::new(),
            senders: Vec::new(),
            handed_on: 0,
            handled: Vec::new(),
            passes: None,
        }
    }
}

impl Campaign {
    fn step(&mut self, (what, of): (u8, usize)) {
        let post = &mut self.post;
        match what {
            0 | 1 => {
                self.senders.push(SENDERS[of]);
                post.append(self.senders.len() as u64, SENDERS[of]);
            }
            2..=4 if self.handed_on < self.senders.len() => {
                self.handed_on += 1;
                post.hand_on(self.handed_on as u64);
            }
            5 | 6 => match self.passes {
                None => self.passes = post.line.begin_pass().then(|| post.line.behind()),
                Some(mut after) => {
                    let ends = post.page(&mut after, of + 1);
                    if ends {
                        post.line.end_pass();
                    }
                    self.passes = (!ends).then_some(after);
                }
            },
            7 => match post.kept.pop() {
                None => post.kept.push(actor("b")),
                Some(_) => post.line.look_again(),
            },
            8 if !post.queue.is_empty() => {
                let n = post.queue.remove(0);
                post.line.put_off(id(n));
            }
            9 if !post.queue.is_empty() => {
                let id = id(post.queue.remove(0));
                match post.line.is_behind(id) {
                    true => post.line.put_off(id),
                    false => post.line.wait(id),
                };
            }
            10 if of == 0 => drop(post.line.let_go()),
            // What its sender has yet to hand on is not used up, durably, before.
            _ if post
                .queue
                .first()
                .is_some_and(|n| *n as usize <= self.handed_on) =>
            {
                self.handled.extend(post.take());
            }
            _ => {}
        }
    }

    /// At last nothing hinders any more.
    fn end(mut self) -> Result<(), TestCaseError> {
        let sent = 1..=self.senders.len() as u64;
        let post = &mut self.post;
        for n in sent.clone().skip(self.handed_on) {
            post.hand_on(n);
        }
        post.kept.clear();
        post.line.let_go();
        post.line.look_again();
        if let Some(mut after) = self.passes {
            while !post.page(&mut after, 2) {}
            post.line.end_pass();
        }
        let mut passes = 0;
        loop {
            self.handled.extend(post.take_all());
            if !post.pass() {
                break;
            }
            passes += 1;
            prop_assert!(passes < 10, "passes come to no end");
        }
        for sender in SENDERS {
            let of = |n: &u64| self.senders[*n as usize - 1] == sender;
            let came: Vec<_> = self.handled.iter().copied().filter(of).collect();
            let sent: Vec<_> = sent.clone().filter(of).collect();
            prop_assert_eq!(came, sent, "from {}", sender);
        }
        prop_assert!(post.rows.is_empty());
        prop_assert!(post.line.held.is_empty() && post.line.in_flight.is_empty());
        Ok(())
    }
}
