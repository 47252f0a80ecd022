#![doc = include_str!("guide/index.md")]

#[doc = include_str!("guide/first.md")]
pub mod a_first_workflow {}

#[doc = include_str!("guide/activities.md")]
pub mod b_activities {}

#[doc = include_str!("guide/errors.md")]
pub mod c_errors {}

#[doc = include_str!("guide/concurrency.md")]
pub mod d_concurrency {}

#[doc = include_str!("guide/messages.md")]
pub mod e_messages {}

#[doc = include_str!("guide/cancellation.md")]
pub mod f_cancellation {}

#[doc = include_str!("guide/children.md")]
pub mod g_children {}

#[doc = include_str!("guide/long_life.md")]
pub mod h_long_life {}

#[doc = include_str!("guide/determinism.md")]
pub mod i_determinism {}

#[doc = include_str!("guide/testing.md")]
pub mod j_testing {}

#[doc = include_str!("guide/versioning.md")]
pub mod k_versioning {}

#[doc = include_str!("guide/production.md")]
pub mod l_production {}

#[doc = include_str!("guide/compared.md")]
pub mod m_compared {}
