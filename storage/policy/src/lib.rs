//! kovcheg-policy
