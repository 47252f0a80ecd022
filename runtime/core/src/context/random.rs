//! Numbers that look random and are the same at every replay.

use std::convert::Infallible;

use rand_core::TryRng;
use uuid::Uuid;

use super::Ctx;

/// A generator of numbers for workflow code; made by [`Ctx::random`].
///
/// It implements the traits of `rand_core` 0.10, so everything in `rand` 0.10 works with it. How `rand` makes a range
/// or a shuffle of its numbers may change with its version, though, and a run that is under way would then do something
/// else: the methods here never change.
///
/// The numbers are fit for jitter and sampling. They can be computed by whoever knows the run id, so they are no
/// secrets.
#[derive(Clone, Debug)]
pub struct Random {
    // xoshiro256++ by David Blackman and Sebastiano Vigna, https://prng.di.unimi.it
    state: [u64; 4],
}

impl Random {
    fn new(seed: Uuid) -> Self {
        let (high, low) = seed.as_u64_pair();
        // A state of zeroes only would stay so; the constant keeps it from that.
        Self { state: [high, low, high.rotate_left(32) ^ low, 0x9e37_79b9_7f4a_7c15] }
    }

    /// The next number, any of all.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number from 0 up to, and without, `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The upper half of the product is as good as even: no number is more likely than another by more than end /
        // 2^64.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 up to, and without, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Puts a list into a random order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl<S: 'static> Ctx<S> {
    /// A generator of random numbers: another one at every call, the same at every replay.
    ///
    /// ```
    /// # extern crate highwater_core as highwater;
    /// # use std::time::Duration;
    /// # use highwater::{Cancelled, Ctx};
    /// # async fn example(ctx: Ctx) -> Result<(), Cancelled> {
    /// let jitter = Duration::from_millis(ctx.random().below(500));
    /// ctx.sleep(jitter).await?;
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn random(&self) -> Random {
        let shared = &self.inner.at.shared;
        Random::new(Uuid::new_v5(&shared.run.0, format!("random {}", shared.next_random()).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(seed: u128) -> Random {
        Random::new(Uuid::from_u128(seed))
    }

    #[test]
    fn the_numbers_are_frozen() {
        let mut random = of(7);
        let first: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(first, [15_906_614_094_783_781_820, 6_804_581_212_447_922_424, 694_299_366_992_194_853]);
        let mut list: Vec<u32> = (0..8).collect();
        of(7).shuffle(&mut list);
        assert_eq!((of(7).below(1_000), list), (862, vec![4, 5, 1, 3, 7, 0, 2, 6]));
    }

    #[test]
    fn they_are_spread_evenly_and_stay_in_their_range() {
        let mut random = of(1);
        let mut counts = [0_u32; 10];
        for _ in 0..10_000 {
            counts[random.below(10) as usize] += 1;
            assert!((0.0..1.0).contains(&random.fraction()));
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn the_traits_of_rand_give_the_same_numbers() {
        let mut bytes = [0; 12];
        rand_core::Rng::fill_bytes(&mut of(3), &mut bytes);
        let mut random = of(3);
        assert_eq!(bytes[..8], random.next_u64().to_le_bytes());
        assert_eq!(bytes[8..], random.next_u64().to_le_bytes()[..4]);
    }
}
