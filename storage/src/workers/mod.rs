//! Threads that do the engine's work on behalf of async callers.

pub mod pool;
