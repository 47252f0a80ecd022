//! How the input is found among the parameters of an activity.

use crate::activity::ActivityContext;

/// `fn(&self, input)`
#[derive(Debug)]
pub struct Method;
/// `fn(&self, &ActivityContext, input)`
#[derive(Debug)]
pub struct MethodWithContext;
/// `fn(input)`
#[derive(Debug)]
pub struct Free;
/// `fn(&ActivityContext, input)`
#[derive(Debug)]
pub struct FreeWithContext;
/// `fn(&self)`
#[derive(Debug)]
pub struct MethodNoInput;
/// `fn(&self, &ActivityContext)`
#[derive(Debug)]
pub struct MethodWithContextNoInput;
/// `fn()`
#[derive(Debug)]
pub struct FreeNoInput;
/// `fn(&ActivityContext)`
#[derive(Debug)]
pub struct FreeWithContextNoInput;

/// The input among the parameters of a function of shape `S`.
pub trait InputOf<S> {
    /// Its type; `()` when there is none.
    type Input;
}

impl<T, A> InputOf<Method> for (T, A) {
    type Input = A;
}
impl<T, A> InputOf<MethodWithContext> for (T, &ActivityContext, A) {
    type Input = A;
}
impl<A> InputOf<Free> for (A,) {
    type Input = A;
}
impl<A> InputOf<FreeWithContext> for (&ActivityContext, A) {
    type Input = A;
}
impl<T> InputOf<MethodNoInput> for (T,) {
    type Input = ();
}
impl<T> InputOf<MethodWithContextNoInput> for (T, &ActivityContext) {
    type Input = ();
}
impl InputOf<FreeNoInput> for () {
    type Input = ();
}
impl InputOf<FreeWithContextNoInput> for (&ActivityContext,) {
    type Input = ();
}
