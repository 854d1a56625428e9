//! The Ploink CRM over HTTP.

mod answer;
mod config;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Map, Value, json};

use super::error::{Retry, SinkError};
use super::http;
use super::identity::phone_number;
use super::plan::Kind;
use super::template::Template;

pub(crate) use answer::CRM_CONTACT;
pub use answer::Contact;
pub use config::{PloinkConfig, PloinkTemplates};

const CONTACTS: &str = "api/mautic/contacts";
const CAMPAIGNS: &str = "api/mautic/campaigns";
const SEGMENTS: &str = "api/mautic/segments";
const CALL_LOG: &str = "api/voice/call-log";
const BOOK: &str = "api/appointments/book";

/// The name of the sink in the outbox.
pub const SINK: &str = "ploink";

/// A client of one Ploink server.
#[derive(Debug, Clone)]
pub struct Ploink {
    config: PloinkConfig,
    base_url: Url,
    headers: HeaderMap,
    client: Client,
}

impl Ploink {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// A permanent error when the URL or a header is none.
    pub fn new(config: PloinkConfig) -> Result<Self, SinkError> {
        let mut text = config.base_url.clone();
        if !text.ends_with('/') {
            text.push('/');
        }
        let base_url = Url::parse(&text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| {
                SinkError::permanent("crm.ploink.base_url: expected http://host or https://host")
            })?;
        let headers = headers(&config)?;
        Ok(Self {
            base_url,
            headers,
            client: http::client()?,
            config,
        })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &PloinkConfig {
        &self.config
    }

    /// Finds a contact by a phone number or an e-mail address: asks `?phone=` first (for a number)
    /// and falls back to `?search=`. A refusal counts as not found.
    ///
    /// # Errors
    /// A transient error when Ploink does not answer or is in trouble.
    pub async fn look_up(&self, wanted: &str) -> Result<Option<Contact>, SinkError> {
        let number = phone_number(wanted);
        if let Some(number) = &number
            && let Some(contact) = self.find("phone", number).await?
        {
            return Ok(Some(contact));
        }
        self.find("search", number.as_deref().unwrap_or(wanted))
            .await
    }

    async fn find(&self, parameter: &str, wanted: &str) -> Result<Option<Contact>, SinkError> {
        let mut request = self.url(CONTACTS)?;
        request.query_pairs_mut().append_pair(parameter, wanted);
        match self.send(self.client.get(request)).await {
            Ok(answer) => Ok(answer::find(&answer, wanted)),
            Err(SinkError {
                retry: Retry::Never,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes or updates the contact that the variables tell of and returns its id.
    ///
    /// Who is known already is found first: the request then names that contact by its `id`, which
    /// is kept whatever Ploink answers, so that neither a repetition nor a caller without an e-mail
    /// address (Mautic merges by nothing else) makes a second one.
    ///
    /// # Errors
    /// What Ploink says.
    pub async fn upsert_contact(
        &self,
        variables: &Map<String, Value>,
        idempotency_key: &str,
    ) -> Result<Value, SinkError> {
        let known = self.known_contact(variables).await?;
        let mut variables = variables.clone();
        if let Some(id) = &known {
            variables.insert("contact_id".into(), id.clone());
        }
        let template = &self.config.templates.contact;
        let answer = self
            .post(CONTACTS, template, &variables, idempotency_key)
            .await?;
        // An answer about somebody else does not change who called.
        if let Some(id) = known.or_else(|| answer::contact_id(&answer)) {
            return Ok(id);
        }
        // Accepted without an id: what was just made can be found.
        Ok(self.known_contact(&variables).await?.unwrap_or(Value::Null))
    }

    async fn known_contact(
        &self,
        variables: &Map<String, Value>,
    ) -> Result<Option<Value>, SinkError> {
        if let Some(id) = variables.get("contact_id").filter(|id| !id.is_null()) {
            return Ok(Some(id.clone()));
        }
        for name in ["caller_phone", "caller_email"] {
            let wanted = variables
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !wanted.is_empty()
                && let Some(contact) = self.look_up(wanted).await?
            {
                return Ok(Some(contact.id));
            }
        }
        Ok(None)
    }

    /// Logs a call.
    ///
    /// # Errors
    /// What Ploink says.
    pub async fn call_log(
        &self,
        variables: &Map<String, Value>,
        idempotency_key: &str,
    ) -> Result<Value, SinkError> {
        self.post(
            CALL_LOG,
            &self.config.templates.call_log,
            variables,
            idempotency_key,
        )
        .await
    }

    /// Books an appointment; Ploink sends the confirmation.
    ///
    /// # Errors
    /// What Ploink says.
    pub async fn book(
        &self,
        variables: &Map<String, Value>,
        idempotency_key: &str,
    ) -> Result<Value, SinkError> {
        self.post(
            BOOK,
            &self.config.templates.appointment,
            variables,
            idempotency_key,
        )
        .await
    }

    /// Adds a contact to the configured segment.
    ///
    /// # Errors
    /// What Ploink says.
    pub async fn add_to_segment(
        &self,
        variables: &Map<String, Value>,
        idempotency_key: &str,
    ) -> Result<Value, SinkError> {
        let mut variables = variables.clone();
        variables.insert("segment_id".into(), json!(self.config.segment));
        self.post(
            SEGMENTS,
            &self.config.templates.segment,
            &variables,
            idempotency_key,
        )
        .await
    }

    /// Reads the active campaigns.
    ///
    /// # Errors
    /// What Ploink says.
    pub async fn campaigns(&self) -> Result<Value, SinkError> {
        self.send(self.client.get(self.url(CAMPAIGNS)?)).await
    }

    /// Carries out a row of the outbox; `before` is the result of the row that it depends on.
    pub(super) async fn deliver(
        &self,
        kind: Kind,
        variables: &Map<String, Value>,
        before: Option<&Value>,
        idempotency_key: &str,
    ) -> Result<Value, SinkError> {
        let mut variables = variables.clone();
        if let Some(id) = before.and_then(|result| result.get("contact_id"))
            && !id.is_null()
        {
            variables.insert("contact_id".into(), id.clone());
        }
        match kind {
            Kind::Contact => {
                let id = self.upsert_contact(&variables, idempotency_key).await?;
                Ok(json!({ "contact_id": id }))
            }
            Kind::Appointment => self.book(&variables, idempotency_key).await,
            Kind::Segment => self.add_to_segment(&variables, idempotency_key).await,
            Kind::CallLog => self.call_log(&variables, idempotency_key).await,
        }
    }

    async fn post(
        &self,
        path: &str,
        template: &Template,
        variables: &Map<String, Value>,
        idempotency_key: &str,
    ) -> Result<Value, SinkError> {
        let request = self
            .client
            .request(Method::POST, self.url(path)?)
            .header("Idempotency-Key", idempotency_key)
            .json(&template.render(variables));
        self.send(request).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, SinkError> {
        let request = request
            .headers(self.headers.clone())
            .timeout(Duration::from_millis(self.config.timeout_ms));
        http::exchange(request, |answer| self.redact(answer)).await
    }

    /// Removes keys that an answer may repeat.
    fn redact(&self, answer: &str) -> String {
        let secrets = self.config.headers.values().chain(&self.config.api_key);
        secrets.fold(answer.to_owned(), |text, secret| secret.redact(&text))
    }

    fn url(&self, path: &str) -> Result<Url, SinkError> {
        self.base_url
            .join(path)
            .map_err(|error| SinkError::permanent(error.to_string()))
    }
}

fn headers(config: &PloinkConfig) -> Result<HeaderMap, SinkError> {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, key: &str, value: &str| {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| SinkError::permanent(format!("{key}: no value for a header")))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    };
    if let Some(key) = &config.api_key {
        add(
            AUTHORIZATION,
            "crm.ploink.api_key",
            &format!("Bearer {}", key.expose()),
        )?;
    }
    for (name, value) in &config.headers {
        let key = format!("crm.ploink.headers.{name}");
        let name = HeaderName::try_from(name.as_str())
            .map_err(|_| SinkError::permanent(format!("{key}: no name for a header")))?;
        add(name, &key, value.expose())?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crm::Secret;

    #[test]
    fn a_wrong_url_or_header_names_its_key_and_no_secret() {
        let config = PloinkConfig {
            base_url: "localhost:3005".into(),
            ..Default::default()
        };
        let error = Ploink::new(config).unwrap_err().to_string();
        assert!(error.contains("crm.ploink.base_url"), "{error}");

        let mut config = PloinkConfig::default();
        config
            .headers
            .insert("X-Key".into(), Secret::new("line\nbreak"));
        let error = Ploink::new(config).unwrap_err().to_string();
        assert!(
            error.contains("headers.X-Key") && !error.contains("break"),
            "{error}"
        );
    }

    #[test]
    fn a_base_url_may_have_a_path() {
        for base_url in ["http://crm/ploink", "http://crm/ploink/"] {
            let config = PloinkConfig {
                base_url: base_url.into(),
                ..Default::default()
            };
            let ploink = Ploink::new(config).unwrap();
            let url = ploink.url(CALL_LOG).unwrap();
            assert_eq!(url.as_str(), "http://crm/ploink/api/voice/call-log");
        }
    }
}
