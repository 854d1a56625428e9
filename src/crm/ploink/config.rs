//! `[crm.ploink]` of the configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::crm::Secret;
use crate::crm::template::Template;

/// Where Ploink is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PloinkConfig {
    /// Where its paths begin, such as `http://localhost:3005`.
    pub base_url: String,
    /// Sent as `Authorization: Bearer`; other ways of telling a key go into `headers`.
    pub api_key: Option<Secret>,
    /// Headers of every request, such as a tenant.
    pub headers: BTreeMap<String, Secret>,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: u64,
    /// How long the look-up before the answer may take, in milliseconds: the caller hears ringing.
    pub look_up_timeout_ms: u64,
    /// Segment to which every contact is added.
    pub segment: Option<String>,
    /// What the requests say.
    pub templates: PloinkTemplates,
}

impl Default for PloinkConfig {
    fn default() -> Self {
        Self {
            base_url: "http://localhost:3005".into(),
            api_key: None,
            headers: BTreeMap::new(),
            timeout_ms: 5_000,
            look_up_timeout_ms: 800,
            segment: None,
            templates: PloinkTemplates::default(),
        }
    }
}

/// The bodies of Ploink's requests, as tables or JSON text with `{{variable}}` in them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PloinkTemplates {
    /// `POST /api/mautic/contacts`.
    pub contact: Template,
    /// `POST /api/voice/call-log`.
    pub call_log: Template,
    /// `POST /api/appointments/book`.
    pub appointment: Template,
    /// `POST /api/mautic/segments`.
    pub segment: Template,
}

impl Default for PloinkTemplates {
    fn default() -> Self {
        let template = |value| Template::new(value).unwrap_or_else(|_| Template::empty());
        Self {
            contact: template(json!({
                "id": "{{contact_id}}",
                "firstname": "{{first_name}}",
                "lastname": "{{last_name}}",
                "email": "{{caller_email}}",
                "phone": "{{caller_phone}}",
                "notes": "{{call_transcript}}",
            })),
            call_log: template(json!({
                "phone": "{{caller_phone}}",
                "transcript": "{{call_transcript |}}",
                "duration": "{{duration}}",
                "outcome": "{{outcome}}",
                "contactId": "{{contact_id}}",
            })),
            appointment: template(json!({
                "contactId": "{{contact_id}}",
                "dateTime": "{{date_time}}",
                "type": "{{appointment_type |}}",
                "notes": "{{appointment_notes |}}",
            })),
            segment: template(json!({
                "contactId": "{{contact_id}}",
                "segmentId": "{{segment_id}}",
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_is_enough_and_an_unknown_key_is_an_error() {
        let config: PloinkConfig = toml::from_str("base_url = \"http://crm:3005\"").unwrap();
        assert_eq!(config.base_url, "http://crm:3005");
        assert_eq!(config.timeout_ms, 5_000);
        assert_ne!(config.templates.contact, Template::empty());
        assert_ne!(config.templates.call_log, Template::empty());
        assert_ne!(config.templates.appointment, Template::empty());
        assert_ne!(config.templates.segment, Template::empty());
        let error = toml::from_str::<PloinkConfig>("base_ulr = \"x\"").unwrap_err();
        assert!(error.to_string().contains("base_ulr"), "{error}");
    }

    #[test]
    fn keys_and_header_values_stay_out_of_debug_output() {
        let config: PloinkConfig =
            toml::from_str("api_key = \"sesame\"\nheaders = { X-Tenant = \"acme\" }").unwrap();
        let debug = format!("{config:?}");
        assert!(
            !debug.contains("sesame") && !debug.contains("acme"),
            "{debug}"
        );
    }
}
