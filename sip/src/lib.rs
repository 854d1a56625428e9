//! SIP for Offhook.
