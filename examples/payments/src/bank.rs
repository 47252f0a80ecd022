//! The outside world of this example: a bank in memory, which does everything once however often it is asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use highwater::prelude::*;

use crate::{Payment, PaymentError, Receipt};

/// An account's balance, in cents.
pub type Account = i64;

/// A bank. A clone is the same bank.
#[derive(Clone, Debug, Default)]
pub struct Bank {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    accounts: BTreeMap<String, Account>,
    /// Keys of what was booked: a second request with the same key is the same request.
    booked: BTreeSet<String>,
    receipts: Vec<Receipt>,
}

impl Bank {
    /// A bank with these accounts.
    pub fn new<const N: usize>(accounts: [(&str, Account); N]) -> Self {
        let accounts = accounts.into_iter().map(|(name, cents)| (name.to_owned(), cents)).collect();
        Self { books: Arc::new(Mutex::new(Books { accounts, ..Books::default() })) }
    }

    /// What an account holds, if there is one.
    pub fn balance(&self, account: &str) -> Option<Account> {
        self.with(|books| books.accounts.get(account).copied())
    }

    /// How many receipts were sent.
    pub fn receipts(&self) -> usize {
        self.with(|books| books.receipts.len())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Books) -> T) -> T {
        act(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Books an amount, once for each key; the least that the account must hold afterwards may forbid it.
    fn book(&self, key: &str, account: &str, cents: i64, least: Account) -> Result<(), PaymentError> {
        self.with(|books| {
            let Some(balance) = books.accounts.get_mut(account) else {
                return Err(PaymentError::NoAccount(account.to_owned()));
            };
            if books.booked.contains(key) {
                return Ok(());
            }
            if cents < 0 && *balance + cents < least {
                return Err(PaymentError::NotEnough { customer: account.to_owned(), cents: cents.unsigned_abs() });
            }
            *balance += cents;
            books.booked.insert(key.to_owned());
            Ok(())
        })
    }

    /// Takes back what was booked for this payment under `what`, if it was.
    fn undo(&self, payment: &str, what: &str, account: &str, cents: i64) {
        self.with(|books| {
            if books.booked.remove(&format!("{what} {payment}"))
                && let Some(balance) = books.accounts.get_mut(account)
            {
                *balance += cents;
            }
        });
    }
}

#[activities]
impl Bank {
    /// Takes the money. It never will be there, or never in an account that does not exist: that is not tried again.
    #[activity(start_to_close = "10s", non_retryable = PaymentError::NotEnough { .. } | PaymentError::NoAccount(_))]
    pub async fn withdraw(&self, context: &ActivityContext, payment: Payment) -> Result<String, PaymentError> {
        let key = format!("withdrawal {}", context.info().workflow_id);
        self.book(&key, &payment.customer, -(payment.cents as i64), 0)?;
        Ok(key)
    }

    /// Gives the money to the merchant.
    #[activity(start_to_close = "10s", non_retryable = PaymentError::NoAccount(_))]
    pub async fn deposit(&self, context: &ActivityContext, payment: Payment) -> Result<String, PaymentError> {
        let key = format!("deposit {}", context.info().workflow_id);
        self.book(&key, &payment.merchant, payment.cents as i64, Account::MIN)?;
        Ok(key)
    }

    /// Tells the customer.
    #[activity(start_to_close = "10s", retry(maximum_attempts = 3))]
    pub async fn send_receipt(&self, receipt: Receipt) -> Result<(), PaymentError> {
        self.with(|books| books.receipts.push(receipt));
        Ok(())
    }

    /// Undoes [`withdraw`](Self::withdraw), if that was done.
    #[activity(start_to_close = "10s")]
    pub async fn refund(&self, context: &ActivityContext, payment: Payment) -> Result<(), PaymentError> {
        let id = context.info().workflow_id.as_str();
        self.undo(id, "withdrawal", &payment.customer, payment.cents as i64);
        Ok(())
    }

    /// Undoes [`deposit`](Self::deposit), if that was done.
    #[activity(start_to_close = "10s")]
    pub async fn take_back(&self, context: &ActivityContext, payment: Payment) -> Result<(), PaymentError> {
        let id = context.info().workflow_id.as_str();
        self.undo(id, "deposit", &payment.merchant, -(payment.cents as i64));
        Ok(())
    }
}
