//! Memory that tasks borrow and give back.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// What is not in use; as many as were ever used at a time.
#[derive(Debug, Default)]
pub(crate) struct Pool<T>(Mutex<Vec<T>>);

impl<T: Default> Pool<T> {
    /// One of the pool's, or a new one, until the lease ends.
    pub(crate) fn lease(&self) -> Lease<'_, T> {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        Lease { value, pool: self }
    }
}

impl<T> Clone for Pool<T> {
    /// An empty pool: what it would hold is only memory.
    fn clone(&self) -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

/// A value that goes back to its pool.
pub(crate) struct Lease<'a, T: Default> {
    value: T,
    pool: &'a Pool<T>,
}

impl<T: Default> Deref for Lease<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Default> DerefMut for Lease<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        let value = std::mem::take(&mut self.value);
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).push(value);
    }
}
