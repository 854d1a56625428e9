//! CRM.
