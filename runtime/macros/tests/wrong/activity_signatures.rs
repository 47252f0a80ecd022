#![allow(unused)]

extern crate highwater_core as highwater;

use highwater::ActivityContext;
use highwater_macros::{activities, activity};

pub struct Shop;

#[activities]
impl Shop {
    #[activity]
    async fn changes(&mut self, n: u32) -> Result<u32, String> {
        Ok(n)
    }
}

#[activities]
impl Shop {
    #[activity]
    async fn borrows(&self, name: &str) -> Result<u32, String> {
        Ok(5)
    }
}

#[activities]
impl Shop {
    #[activity]
    async fn two(&self, a: u32, b: u32) -> Result<u32, String> {
        Ok(a + b)
    }
}

#[activities]
impl Shop {
    #[activity]
    async fn generic<T>(&self, value: T) -> Result<u32, String> {
        Ok(5)
    }
}

#[activities]
impl Shop {
    #[activity]
    fn not_async(&self) -> Result<u32, String> {
        Ok(5)
    }
}

#[activities]
impl Shop {
    #[activity(blocking)]
    async fn both(&self) -> Result<u32, String> {
        Ok(5)
    }
}

#[activities]
impl Shop {
    #[activity]
    async fn one(&self) -> Result<u32, String> {
        Ok(5)
    }

    #[activity(name = "one")]
    async fn another(&self) -> Result<u32, String> {
        Ok(5)
    }
}

#[activities]
impl Shop {
    #[activity]
    async fn context_last(&self, n: u32, cx: &ActivityContext) -> Result<u32, String> {
        Ok(n)
    }
}

impl Shop {
    #[activity]
    async fn block_without_attribute(&self, n: u32) -> Result<u32, String> {
        Ok(n)
    }
}

#[activities]
impl Shop {
    async fn none_marked(&self, n: u32) -> Result<u32, String> {
        Ok(n)
    }
}

fn main() {}
