//! A CloudFormation template with its parameters filled in, as far as one needs it to see what the
//! containers of a task are.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::platforms::tools::yaml;

pub struct Template {
    template: Value,
    parameters: BTreeMap<String, Value>,
}

impl Template {
    /// Reads a template. Parameters that are not given have their defaults.
    pub fn read(path: &str, given: &[(&str, Value)]) -> Self {
        let template = yaml(path);
        let mut parameters = BTreeMap::new();
        for (name, parameter) in template["Parameters"].as_object().unwrap() {
            let given = given.iter().find(|(known, _)| known == name).map(|(_, v)| v.clone());
            let value = given.or_else(|| parameter.get("Default").cloned());
            let value = value.unwrap_or_else(|| panic!("{name} has no value"));
            parameters.insert(name.clone(), typed(parameter["Type"].as_str().unwrap(), value));
        }
        for (name, _) in given {
            assert!(parameters.contains_key(*name), "the template has no parameter {name}");
        }
        Self { template, parameters }
    }

    /// The properties of a resource, with everything filled in.
    pub fn properties(&self, resource: &str) -> Value {
        self.filled(&self.template["Resources"][resource]["Properties"]).unwrap()
    }

    /// Whether a resource is created, or left out by its condition.
    pub fn creates(&self, resource: &str) -> bool {
        let condition = &self.template["Resources"][resource]["Condition"];
        condition.as_str().is_none_or(|condition| self.holds(condition))
    }

    /// As it stands there.
    pub fn raw(&self) -> &Value {
        &self.template
    }

    /// None for what is to be left out.
    fn filled(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(items) => Some(items.iter().filter_map(|i| self.filled(i)).collect()),
            Value::Object(fields) => match function(fields) {
                Some((name, argument)) => self.call(name, argument),
                None => {
                    let filled =
                        fields.iter().filter_map(|(k, v)| Some((k.clone(), self.filled(v)?)));
                    Some(Value::Object(filled.collect()))
                }
            },
            plain => Some(plain.clone()),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Option<Value> {
        match name {
            "Ref" => self.reference(argument.as_str().unwrap()),
            "Fn::GetAtt" => {
                let words: Vec<_> = match argument {
                    Value::String(text) => vec![text.clone()],
                    other => serde_json::from_value(other.clone()).unwrap(),
                };
                Some(json!(attribute(&words.join("."))))
            }
            "Fn::If" => {
                let holds = self.holds(argument[0].as_str().unwrap());
                self.filled(&argument[if holds { 1 } else { 2 }])
            }
            "Fn::Sub" => Some(self.substituted(argument)),
            "Fn::Join" => {
                let parts = self.filled(&argument[1]).unwrap();
                let parts: Vec<_> = parts.as_array().unwrap().iter().map(plain).collect();
                Some(json!(parts.join(argument[0].as_str().unwrap())))
            }
            "Fn::Split" => {
                let text = plain(&self.filled(&argument[1]).unwrap());
                Some(text.split(argument[0].as_str().unwrap()).collect())
            }
            "Fn::Select" => {
                let at = usize::try_from(argument[0].as_u64().unwrap()).unwrap();
                Some(self.filled(&argument[1]).unwrap()[at].clone())
            }
            "Condition" => Some(json!(self.holds(argument.as_str().unwrap()))),
            "Fn::And" => {
                let mut all = argument.as_array().unwrap().iter();
                Some(json!(all.all(|one| self.filled(one) == Some(json!(true)))))
            }
            "Fn::Or" => {
                let mut all = argument.as_array().unwrap().iter();
                Some(json!(all.any(|one| self.filled(one) == Some(json!(true)))))
            }
            "Fn::Equals" => Some(json!(self.filled(&argument[0]) == self.filled(&argument[1]))),
            "Fn::Not" => Some(json!(self.filled(&argument[0]) != Some(json!(true)))),
            other => panic!("{other} is not known here"),
        }
    }

    fn holds(&self, condition: &str) -> bool {
        self.filled(&self.template["Conditions"][condition]) == Some(json!(true))
    }

    fn reference(&self, name: &str) -> Option<Value> {
        match (name, self.parameters.get(name)) {
            ("AWS::NoValue", _) => None,
            (_, Some(value)) => Some(value.clone()),
            (resource, None) => Some(json!(attribute(resource))),
        }
    }

    fn substituted(&self, argument: &Value) -> Value {
        let (text, names) = match argument {
            Value::Array(both) => (both[0].as_str().unwrap(), both[1].clone()),
            text => (text.as_str().unwrap(), json!({})),
        };
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').unwrap();
            let value = match names.get(name) {
                Some(value) => self.filled(value),
                None => self.reference(name),
            };
            filled += before;
            filled += &plain(&value.unwrap());
            rest = after;
        }
        json!(filled + rest)
    }
}

/// What AWS would fill in, in the capitals of deploy/iam.
fn attribute(name: &str) -> String {
    match name {
        "AWS::Region" => "REGION",
        "AWS::AccountId" => "ACCOUNT",
        "AWS::Partition" => "aws",
        "Leases" => "TABLE",
        "Logs" => "LOG_GROUP",
        "TaskRole.Arn" => "arn:aws:iam::ACCOUNT:role/TASK_ROLE",
        "ExecutionRole.Arn" => "arn:aws:iam::ACCOUNT:role/EXECUTION_ROLE",
        other => other,
    }
    .to_owned()
}

fn function(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = fields.iter().next()?;
    let is_condition = name == "Condition" && argument.is_string();
    let is_function =
        fields.len() == 1 && (name == "Ref" || name.starts_with("Fn::") || is_condition);
    is_function.then_some((name.as_str(), argument))
}

/// A list parameter without an entry is a list with an empty one.
fn typed(kind: &str, value: Value) -> Value {
    match (kind, &value) {
        ("CommaDelimitedList", Value::String(text)) => {
            text.split(',').map(str::to_owned).collect::<Vec<_>>().into()
        }
        ("Number", Value::String(text)) => json!(text.parse::<u64>().unwrap()),
        _ => value,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
