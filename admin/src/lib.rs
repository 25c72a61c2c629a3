//! kovcheg-admin
