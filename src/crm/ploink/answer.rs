//! Contacts in whatever wrapping an answer has them.

use serde_json::{Map, Value, json};

use crate::crm::identity::{email_key, phone_number, same_phone};

/// The variable that keeps what the CRM told of the caller before the answer.
pub(crate) const CRM_CONTACT: &str = "crm_contact";
/// Members under which contacts are found.
const WRAPPERS: [&str; 6] = ["contact", "contacts", "data", "results", "items", "result"];
/// Names of a contact's id.
const IDS: [&str; 4] = ["id", "contactId", "contact_id", "_id"];
/// Wrappings within wrappings that are looked through.
const DEPTH_LIMIT: usize = 4;

/// A contact as Ploink tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Contact {
    /// Its id, a number or a text, to be given back as it is.
    pub id: Value,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
}

impl Contact {
    /// Returns what a flow may name: `contact_id`, `first_name`, `last_name`, `caller_name`,
    /// `caller_email`; what is not known is not there. `crm_contact` keeps the names as they were
    /// told, so that at the end of the call it is known which of them the call itself learnt.
    pub fn variables(&self) -> Map<String, Value> {
        let mut variables = Map::new();
        variables.insert("contact_id".into(), self.id.clone());
        let name = match (&self.first_name, &self.last_name) {
            (Some(first), Some(last)) => Some(format!("{first} {last}")),
            (first, last) => first.clone().or_else(|| last.clone()),
        };
        for (key, value) in [
            ("first_name", &self.first_name),
            ("last_name", &self.last_name),
            ("caller_name", &name),
            ("caller_email", &self.email),
        ] {
            if let Some(value) = value {
                variables.insert(key.into(), value.clone().into());
            }
        }
        let told = json!({ "first_name": self.first_name, "last_name": self.last_name });
        variables.insert(CRM_CONTACT.into(), told);
        variables
    }

    /// Returns whether it is the one that was asked for; one that tells neither number nor address
    /// is taken at Ploink's word.
    fn answers(&self, wanted: &str) -> bool {
        let asked = (phone_number(wanted), email_key(wanted));
        match (asked, &self.phone, &self.email) {
            ((Some(wanted), _), Some(phone), _) => same_phone(phone, &wanted),
            ((_, Some(wanted)), _, Some(email)) => email_key(email) == Some(wanted),
            _ => true,
        }
    }
}

/// Returns the contact's id in an answer: `{contact:{id}}`, `{id}` and the like.
pub(super) fn contact_id(answer: &Value) -> Option<Value> {
    contacts(answer, 0)
        .into_iter()
        .next()
        .map(|contact| contact.id)
}

/// Returns the contact that was asked for by number or address: alone, in a list, or in a map by
/// id, at the top or within a wrapping.
pub(super) fn find(answer: &Value, wanted: &str) -> Option<Contact> {
    contacts(answer, 0)
        .into_iter()
        .find(|contact| contact.answers(wanted))
}

fn contacts(value: &Value, depth: usize) -> Vec<Contact> {
    if depth > DEPTH_LIMIT {
        return Vec::new();
    }
    match value {
        Value::Array(items) => items
            .iter()
            .flat_map(|item| contacts(item, depth + 1))
            .collect(),
        Value::Object(members) => {
            if let Some(contact) = contact(members) {
                return vec![contact];
            }
            let wrapped: Vec<Contact> = WRAPPERS
                .iter()
                .filter_map(|name| members.get(*name))
                .flat_map(|inner| contacts(inner, depth + 1))
                .collect();
            if !wrapped.is_empty() || depth == 0 {
                return wrapped;
            }
            // A map by id, as Mautic has its collections.
            members
                .values()
                .flat_map(|inner| contacts(inner, depth + 1))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn contact(members: &Map<String, Value>) -> Option<Contact> {
    let id = IDS
        .iter()
        .find_map(|name| members.get(*name))
        .filter(|id| is_id(id))?;
    let field = |names: &[&str]| {
        // Mautic keeps a contact's values under fields.all.
        let all = members.get("fields").and_then(|fields| fields.get("all"));
        let value = |name: &&str| members.get(*name).or_else(|| all?.get(*name));
        names
            .iter()
            .filter_map(value)
            .filter_map(Value::as_str)
            .map(str::trim)
            .find(|text| !text.is_empty())
            .map(str::to_owned)
    };
    Some(Contact {
        id: id.clone(),
        first_name: field(&["firstname", "firstName", "first_name", "name"]),
        last_name: field(&["lastname", "lastName", "last_name"]),
        email: field(&["email"]),
        phone: field(&["phone", "mobile"]),
    })
}

fn is_id(value: &Value) -> bool {
    value.is_number() || value.as_str().is_some_and(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_in_every_wrapping_and_keeps_its_type() {
        for answer in [
            json!({"contact": {"id": 42}}),
            json!({"id": 42}),
            json!({"contactId": 42}),
            json!([{"id": 42}]),
            json!({"contacts": [{"id": 42}, {"id": 43}]}),
            json!({"success": true, "data": {"contact": {"id": 42, "fields": {}}}}),
            json!({"total": "1", "contacts": {"42": {"id": 42}}}),
        ] {
            assert_eq!(contact_id(&answer), Some(json!(42)), "{answer}");
        }
        assert_eq!(contact_id(&json!({"id": "c-7"})), Some(json!("c-7")));
        for answer in [
            json!(null),
            json!([]),
            json!({"contacts": {}}),
            json!({"id": null}),
        ] {
            assert_eq!(contact_id(&answer), None, "{answer}");
        }
    }

    #[test]
    fn a_vague_search_does_not_bring_somebody_else() {
        let answer = json!({"contacts": [
            {"id": 1, "phone": "+1 202 555 0199", "firstname": "Bob"},
            {"id": 2, "fields": {"all": {"mobile": "202-555-0123", "firstname": "Ada"}}},
        ]});
        let found = find(&answer, "+12025550123").unwrap();
        assert_eq!(
            (found.id.clone(), found.first_name.as_deref()),
            (json!(2), Some("Ada"))
        );
        assert_eq!(find(&answer, "+12025550100"), None);
        assert_eq!(
            find(&json!({"contacts": [{"id": 3}]}), "+12025550100")
                .unwrap()
                .id,
            3
        );
    }

    #[test]
    fn a_contact_gives_the_flow_its_variables() {
        let answer = json!({"id": "7", "firstname": "Ada", "lastname": " ", "email": "a@b.co"});
        let variables = find(&answer, "a@b.co").unwrap().variables();
        assert_eq!(
            Value::from(variables),
            json!({"contact_id": "7", "first_name": "Ada", "caller_name": "Ada",
                "caller_email": "a@b.co",
                "crm_contact": {"first_name": "Ada", "last_name": null}})
        );
    }

    #[test]
    fn a_deep_answer_is_looked_through_only_so_far() {
        let mut answer = json!({"id": 1});
        for _ in 0..2000 {
            answer = json!({"data": answer});
        }
        assert_eq!(contact_id(&answer), None);
    }
}
