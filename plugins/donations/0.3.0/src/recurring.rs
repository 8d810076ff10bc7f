//! What `subscribe`, `unsubscribe` and a date that comes due lead to.
//!
//! Each subscription that goes on has one timer of the actor, set to the beginning of
//! its next date. The timer records that date's gift and sets the next in the same
//! event; the gift's donation id is the subscription's and the date's number, so that no
//! date has two. A host that was away, or that ruled in a version without
//! subscriptions, fires late: then the dates that have passed come one after another,
//! each with its own gift, until the next lies ahead.

use host_sdk::{Cx, Decision, Rejection};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access;
use crate::command::Subscribe;
use crate::day::{Day, Interval};
use crate::decide::{Decided, Gift};
use crate::event::Event;
use crate::limits::{MAKE_UP_DAYS_MAX, SUBSCRIPTION_ID_BYTES_MAX, SUBSCRIPTIONS_MAX};
use crate::state::{Campaign, Donations};
use crate::subscription::{self, Standing, Subscription, Terms};
use crate::text;

/// What a subscription's timer is set with, and given back with.
#[derive(Serialize, Deserialize)]
struct Due {
    /// Of the date, from 1.
    number: u32,
}

impl Terms {
    /// Terms as a client describes them, the fields read and found well formed.
    /// They begin on `start_on` where the client names no date.
    fn read(command: Subscribe, start_on: Day) -> Result<Self, Rejection> {
        let gift = Gift::read(
            command.subscription_id,
            command.donor,
            (&command.amount, &command.currency),
            command.fund.as_deref(),
            command.payer,
        )?;
        let every = Interval::parse(&command.every)?;
        if command.times == Some(0) {
            return Err(Rejection::new(
                "bad_times",
                "times is 0; leave it out for gifts without an end",
            ));
        }
        Ok(Self {
            donor: gift.donor,
            fund: gift.fund,
            amount: gift.amount,
            currency: gift.currency,
            payer: gift.payer,
            every,
            start_on: command.start_on.unwrap_or(start_on),
            times: command.times,
        })
    }

    /// The gift of the date with this number.
    fn gift(&self, subscription_id: &str, number: u32) -> Gift {
        Gift {
            donation_id: subscription::donation_id(subscription_id, number),
            donor: self.donor.clone(),
            amount: self.amount,
            currency: self.currency,
            fund: self.fund,
            payer: self.payer.clone(),
            pledge_id: None,
            subscription_id: Some(subscription_id.to_owned()),
        }
    }
}

impl Donations {
    /// [`host_sdk::Plugin::timer`]. What comes twice, or after the end, does
    /// nothing, and what comes late does what it would have done in time.
    pub(crate) fn due(&self, cx: &Cx<'_>, payload: Value) -> Decided {
        let Some(subscription_id) = subscription::of_timer(cx.event()) else {
            return Err(Rejection::new(
                "unknown_timer",
                format!("no subscription has a timer {:?}", cx.event()),
            ));
        };
        let due: Due = serde_json::from_value(payload).map_err(|e| {
            Rejection::new("bad_payload", format!("the timer of a subscription: {e}"))
        })?;
        let campaign = self.opened()?;
        let subscription = campaign.subscriptions.get(subscription_id);
        match subscription.and_then(|s| Some((s, s.next()?))) {
            Some((subscription, (number, _))) if number == due.number => {
                Ok(campaign.collect(cx.key(), subscription_id, subscription, number))
            }
            _ => Ok(Decision::answer(&json!({}))),
        }
    }
}

impl Campaign {
    pub(crate) fn subscribe(&self, cx: &Cx<'_>, command: Subscribe) -> Decided {
        let subscription_id = text::checked(
            "subscription_id",
            command.subscription_id.clone(),
            SUBSCRIPTION_ID_BYTES_MAX,
        )?;
        if let Some(known) = self.subscriptions.get(&subscription_id) {
            return repeated(&subscription_id, known, command);
        }
        let today = Day::of_ms(cx.now_ms());
        let terms = Terms::read(command, today)?;
        let earliest = today.days_before(MAKE_UP_DAYS_MAX);
        if terms.start_on < earliest {
            return Err(Rejection::new(
                "bad_date",
                format!(
                    "start_on {} is before {earliest}; a subscription begins at most \
                     {MAKE_UP_DAYS_MAX} days ago",
                    terms.start_on
                ),
            ));
        }
        if self.ledger.has_gifts_of(&subscription_id) {
            return Err(Rejection::new(
                "conflict",
                format!(
                    "there is a gift under a donation_id that begins with \
                     \"{subscription_id}/\", as this subscription's would; give it another id"
                ),
            ));
        }
        if self.room_to_subscribe() == 0 {
            return Err(Rejection::new(
                "campaign_full",
                format!(
                    "a campaign takes {SUBSCRIPTIONS_MAX} subscriptions; open another for more"
                ),
            ));
        }
        let subscription = Subscription::new(terms, access::subject(cx));
        let reply = shown(&subscription_id, &subscription);
        let mut news = reply.clone();
        let donor = subscription.terms.donor.as_deref();
        news["donor"] = json!(donor.unwrap_or("anonymous"));
        let decision = Decision::event(Event::Subscribed {
            subscription_id: subscription_id.clone(),
            terms: subscription.terms.clone(),
            subject: subscription.subject.clone(),
        })
        .broadcast("subscription_started", &news)
        .reply(&reply);
        Ok(set_timer(decision, &subscription_id, &subscription))
    }

    pub(crate) fn unsubscribe(&self, cx: &Cx<'_>, subscription_id: String) -> Decided {
        let Some(subscription) = self.subscriptions.get(&subscription_id) else {
            // What a client sent is shown in part only: it can be of any length.
            let shown: String = subscription_id
                .chars()
                .take(SUBSCRIPTION_ID_BYTES_MAX)
                .collect();
            return Err(Rejection::new(
                "unknown_subscription",
                format!("this campaign has no subscription {shown:?}"),
            ));
        };
        access::owner(cx, subscription.subject.as_deref())?;
        if subscription.standing != Standing::Active {
            return Err(Rejection::new(
                "subscription_ended",
                format!(
                    "{subscription_id:?} has ended after {} gifts",
                    subscription.taken
                ),
            ));
        }
        let mut ended = subscription.clone();
        ended.standing = Standing::Ended;
        let news = shown(&subscription_id, &ended);
        let timer = subscription::timer_name(&subscription_id);
        Ok(Decision::event(Event::Unsubscribed { subscription_id })
            .broadcast("subscription_ended", &news)
            .reply(&news)
            .cancel_timer(timer))
    }

    /// How many more subscriptions there may be.
    pub(crate) fn room_to_subscribe(&self) -> usize {
        SUBSCRIPTIONS_MAX.saturating_sub(self.subscriptions.len())
    }

    /// A date has come: its gift, and the timer of the next date.
    fn collect(
        &self,
        key: &str,
        subscription_id: &str,
        subscription: &Subscription,
        number: u32,
    ) -> Decision<Event> {
        let gift = subscription.terms.gift(subscription_id, number);
        let is_covered = self.ledger.get(&gift.donation_id).is_some();
        let decision = if is_covered {
            Decision::event(Event::DateCovered {
                subscription_id: subscription_id.to_owned(),
                donation_id: gift.donation_id,
            })
        } else {
            match self.take(key, gift) {
                Ok(decision) => decision,
                Err(rejection) => return lapse(subscription_id, subscription, rejection),
            }
        };
        let mut next = subscription.clone();
        next.advance();
        match next.standing {
            Standing::Active => set_timer(decision, subscription_id, &next),
            _ => decision.broadcast("subscription_ended", &shown(subscription_id, &next)),
        }
    }
}

/// The answer to a `subscribe` whose id is taken.
fn repeated(subscription_id: &str, known: &Subscription, command: Subscribe) -> Decided {
    // Without a date, it means the day of the first time.
    let terms = Terms::read(command, known.terms.start_on);
    if terms.is_ok_and(|terms| terms == known.terms) {
        let mut reply = shown(subscription_id, known);
        reply["duplicate"] = json!(true);
        return Ok(Decision::answer(&reply));
    }
    Err(Rejection::new(
        "conflict",
        format!(
            "subscription_id {subscription_id:?} stands for other terms; a new subscription \
             needs an id of its own"
        ),
    ))
}

fn lapse(
    subscription_id: &str,
    subscription: &Subscription,
    rejection: Rejection,
) -> Decision<Event> {
    let reason = rejection.reason.into_owned();
    let mut lapsed = subscription.clone();
    lapsed.standing = Standing::Lapsed {
        reason: reason.clone(),
    };
    let news = shown(subscription_id, &lapsed);
    Decision::event(Event::SubscriptionLapsed {
        subscription_id: subscription_id.to_owned(),
        reason,
    })
    .broadcast("subscription_ended", &news)
}

/// Sets the timer of a subscription's next date.
fn set_timer(
    decision: Decision<Event>,
    subscription_id: &str,
    subscription: &Subscription,
) -> Decision<Event> {
    match subscription.next() {
        Some((number, due_on)) => decision.set_timer(
            subscription::timer_name(subscription_id),
            due_on.start_ms(),
            &Due { number },
        ),
        None => decision,
    }
}

/// A subscription as clients see it.
fn shown(subscription_id: &str, subscription: &Subscription) -> Value {
    let terms = &subscription.terms;
    let standing = match &subscription.standing {
        Standing::Active => "active",
        Standing::Completed => "completed",
        Standing::Ended => "ended",
        Standing::Lapsed { .. } => "lapsed",
    };
    let mut shown = json!({
        "subscription_id": subscription_id,
        "fund": terms.fund,
        "amount": terms.amount,
        "currency": terms.currency,
        "every": terms.every,
        "start_on": terms.start_on,
        "times": terms.times,
        "taken": subscription.taken,
        "next_on": subscription.next().map(|(_, due_on)| due_on),
        "standing": standing,
    });
    if let Standing::Lapsed { reason } = &subscription.standing {
        shown["reason"] = json!(reason);
    }
    shown
}
