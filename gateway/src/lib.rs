//! kovcheg-gateway
