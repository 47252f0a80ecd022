extern crate highwater_core as highwater;

use highwater_macros::activities;

pub struct Shop;
pub struct Order;

#[derive(serde::Serialize, serde::Deserialize)]
pub struct ChargeError;

#[activities]
impl Shop {
    #[activity]
    async fn no_result(&self) -> u32 {
        5
    }

    #[activity]
    async fn error_that_shows_nothing(&self) -> Result<u32, ChargeError> {
        Ok(5)
    }

    #[activity]
    async fn borrows(&self, _order: &Order) -> Result<u32, String> {
        Ok(5)
    }

    #[activity]
    async fn not_send(&self) -> Result<u32, String> {
        let shared = std::rc::Rc::new(5);
        std::future::ready(()).await;
        Ok(*shared)
    }
}

fn main() {}
