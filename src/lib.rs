//! kovcheg
