//! The outside world of this example: who has paid what.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use highwater::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Terms;

/// One month's bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invoice {
    /// Who pays.
    pub customer: String,
    /// Which month, from 1.
    pub month: u32,
    /// How much.
    pub cents: u64,
}

impl Invoice {
    /// The next bill.
    pub fn of(terms: &Terms) -> Self {
        Self { customer: terms.customer.clone(), month: terms.paid + 1, cents: terms.cents }
    }
}

/// A payment provider in memory. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Billing {
    books: Arc<Mutex<Books>>,
}

#[derive(Debug, Default)]
struct Books {
    paid: BTreeMap<(String, u32), u64>,
    broke: BTreeSet<String>,
}

#[activities]
impl Billing {
    /// Charges a month: once, however often it is asked to.
    #[activity(start_to_close = "30s", retry(maximum_attempts = 3))]
    pub async fn charge(&self, invoice: Invoice) -> Result<(), String> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if books.broke.contains(&invoice.customer) {
            return Err(format!("{} does not pay", invoice.customer));
        }
        let Invoice { customer, month, cents } = invoice;
        if books.paid.insert((customer.clone(), month), cents).is_none() {
            println!("billing    {customer} pays {cents} cents for month {month}");
        }
        Ok(())
    }
}

impl Billing {
    /// From now on this customer does not pay.
    pub fn breaks(&self, customer: &str) {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).broke.insert(customer.to_owned());
    }

    /// What a customer has paid, in cents, by month.
    pub fn paid_by(&self, customer: &str) -> Vec<u64> {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        books.paid.iter().filter(|((who, _), _)| who == customer).map(|(_, cents)| *cents).collect()
    }
}
