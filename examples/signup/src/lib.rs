//! A sign-up: a mail with a link, a week for the click, reminders in between, and a welcome or a good-bye.
//!
//! - [`Signup`]: the workflow, with its signal and its query.
//! - [`Mail`]: the activity.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

/// Who signs up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Where the mails go.
    pub address: String,
    /// The time after which a day has passed: a day, unless somebody watches.
    pub day: Duration,
}

/// How a sign-up ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The address was confirmed.
    Confirmed,
    /// Nobody confirmed it within the week.
    GivenUp,
}

/// The days after which a reminder goes out, counted from the start; after the last the sign-up is given up.
const REMINDERS: [u32; 3] = [1, 3, 6];
const GIVE_UP: u32 = 7;

/// A sign-up under way.
#[derive(Debug, Default)]
pub struct Signup {
    confirmed: bool,
    reminders: u32,
}

#[workflow]
impl Signup {
    #[run]
    pub async fn run(ctx: Ctx<Self>, user: User) -> Result<Outcome, Exit> {
        ctx.run(Mail::send, Letter::new(&user, "Please confirm your address")).await?;
        let mut today = 0;
        for day in REMINDERS.into_iter().chain([GIVE_UP]) {
            let wait = user.day * (day - today);
            today = day;
            // Whatever comes first: the click, or the day of the next mail. The click may have come long ago.
            match ctx.timeout(wait, ctx.wait_until(|signup| signup.confirmed)).await {
                Ok(confirmed) => {
                    confirmed?;
                    ctx.run(Mail::send, Letter::new(&user, "Welcome!")).await?;
                    return Ok(Outcome::Confirmed);
                }
                Err(_elapsed) if day < GIVE_UP => {
                    ctx.run(Mail::send, Letter::new(&user, "Your address is still waiting for you")).await?;
                    ctx.update(|signup| signup.reminders += 1);
                }
                Err(_elapsed) => {}
            }
        }
        Ok(Outcome::GivenUp)
    }

    /// Somebody clicked on the link.
    #[signal]
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// How many reminders went out.
    #[query]
    pub fn reminders(&self) -> u32 {
        self.reminders
    }
}

/// A mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// Whom it is for.
    pub to: String,
    /// What it says.
    pub subject: String,
}

impl Letter {
    fn new(user: &User, subject: &str) -> Self {
        Self { to: user.address.clone(), subject: subject.to_owned() }
    }
}

/// The outside world of this example: a post office that prints what it is given. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    sent: Arc<Mutex<Vec<Letter>>>,
}

#[activities]
impl Mail {
    /// Sends a mail.
    #[activity(start_to_close = "30s")]
    pub async fn send(&self, letter: Letter) -> Result<(), String> {
        println!("mail       to {}: {}", letter.to, letter.subject);
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(letter);
        Ok(())
    }
}

impl Mail {
    /// The subjects of what was sent, in order.
    pub fn subjects(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().map(|letter| letter.subject.clone()).collect()
    }
}
