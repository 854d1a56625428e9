//! Media for Offhook.
