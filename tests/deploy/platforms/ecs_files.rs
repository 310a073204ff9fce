//! What is in deploy/ecs, by the tools of its ecosystem and by the rules of its order.

use std::fs;

use serde_json::{Map, Value, json};

use crate::platforms::template::Template;
use crate::platforms::tools::{must, printed, python, root, text, tool, yaml};

const SERVICE: &str = "deploy/ecs/service.yaml";
const TABLE: &str = "deploy/cloudformation/dynamodb-table.yaml";
const TASK: &str = "deploy/ecs/task-definition.json";
const MODULE: &str = "deploy/ecs/terraform";

/// What the sidecar has before it is killed must hold the grace and one call to the store: with the
/// default durations a third of 10 s less 2 s.
const VACATING_SECONDS: u64 = 3;

/// The template with what has no default, in the capitals of deploy/iam, and a migration.
pub fn template(more: &[(&str, Value)]) -> Template {
    let given = [
        ("BellwetherImage", json!("BELLWETHER_IMAGE")),
        ("AppImage", json!("APP_IMAGE")),
        ("MigrateCommand", json!("python,manage.py,migrate")),
        ("VpcId", json!("VPC")),
        ("SubnetIds", json!(["SUBNET"])),
    ];
    let given: Vec<_> =
        given.into_iter().filter(|(name, _)| !more.iter().any(|(n, _)| n == name)).collect();
    Template::read(SERVICE, &[given.as_slice(), more].concat())
}

/// The task definition as `aws ecs register-task-definition` takes it.
pub fn task_definition(template: &Template) -> Value {
    lower(&template.properties("TaskDefinition"))
}

/// CloudFormation writes `ContainerName` where the API has `containerName`.
fn lower(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(lower).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                let (first, rest) = name.split_at(1);
                (first.to_lowercase() + rest, lower(value))
            });
            Value::Object(fields.collect::<Map<_, _>>())
        }
        plain => plain.clone(),
    }
}

fn container<'a>(task: &'a Value, name: &str) -> &'a Value {
    let containers = task["containerDefinitions"].as_array().unwrap();
    containers.iter().find(|container| container["name"] == name).unwrap()
}

#[test]
fn cfn_lint_has_nothing_to_say() {
    must(python("cfn-lint").args([SERVICE, TABLE]).current_dir(root()));
    // It would, if there were something.
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.yaml");
    fs::write(&broken, text(SERVICE).replace("StopTimeout: 30", "StopTimout: 30")).unwrap();
    let output = python("cfn-lint").arg(&broken).output().unwrap();
    assert!(
        !output.status.success() && printed(&output).contains("StopTimout"),
        "{}",
        printed(&output)
    );
}

/// Renews the file when `BELLWETHER_WRITE_DOCS` is set.
#[test]
fn the_task_definition_that_stands_alone_is_the_templates() {
    let task = task_definition(&template(&[]));
    let fresh = serde_json::to_string_pretty(&task).unwrap() + "\n";
    if std::env::var_os("BELLWETHER_WRITE_DOCS").is_some() {
        fs::write(root().join(TASK), &fresh).unwrap();
    }
    assert!(
        text(TASK) == fresh,
        "{TASK} is out of date: run `BELLWETHER_WRITE_DOCS=1 cargo test --test deploy platforms::`, and \
         commit what it wrote"
    );
}

#[test]
fn the_terraform_module_makes_the_same_containers() {
    let given = json!({
        "region": "REGION",
        "bellwether_image": "BELLWETHER_IMAGE",
        "app_image": "APP_IMAGE",
        "migrate_command": ["python", "manage.py", "migrate"],
        "table_name": "TABLE",
        "cluster_name": "CLUSTER",
        "vpc_id": "VPC",
        "subnet_ids": ["SUBNET"],
        "nights": { "night": "cron(0 20 * * ? *)", "morning": "cron(0 7 * * ? *)", "timezone": "Etc/UTC" },
    });
    let module = evaluated(&given);
    let task = &module["aws_ecs_task_definition"][0];
    let containers = task["container_definitions"].as_str().unwrap();
    let containers: Value =
        serde_json::from_str(&containers.replace("/ecs/web", "LOG_GROUP")).unwrap();
    let template = template(&[("SleepAtNight", json!("yes"))]);
    assert_eq!(containers, task_definition(&template)["containerDefinitions"]);
    let policies = module["aws_iam_policy_document"].as_array().unwrap();
    let policy = policies
        .iter()
        .find(|policy| policy["__tfmeta"]["path"].to_string().contains("stand_in_elections"));
    assert_eq!(policy.unwrap()["statement"]["actions"], actions(&template));
    let service = &module["aws_ecs_service"][0];
    assert_eq!(service["deployment_minimum_healthy_percent"], 100);
    let capacities = module["aws_appautoscaling_scheduled_action"].as_array().unwrap();
    let capacity = |name: &str| {
        let action = capacities.iter().find(|action| action["name"] == name).unwrap();
        action["scalable_target_action"]["max_capacity"].clone()
    };
    assert_eq!((capacity("night"), capacity("morning")), (json!(0), json!(2)));
    assert!(module.get("aws_dynamodb_table").is_some_and(|tables| {
        tables.as_array().unwrap().iter().all(|table| table.get("hash_key").is_none())
    }));
}

const SECRET: &str = "arn:aws:secretsmanager:REGION:ACCOUNT:secret:web-AbCdEf";
const FILE: &str = "arn:aws:s3:::settings/web.env";
const BALANCER: &str = "arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/web/0123";

/// What a web application with a database asks for.
fn real_application() -> Vec<(&'static str, Value)> {
    vec![
        ("AppCommand", json!("gunicorn,shop.wsgi")),
        ("AppPort", json!(8000)),
        ("Environment", json!("DJANGO_SETTINGS_MODULE=shop.settings,WEB_CONCURRENCY=2")),
        ("EnvironmentFile", json!(FILE)),
        ("Secrets", json!(format!("DATABASE_URL={SECRET}:url::,SECRET_KEY={SECRET}:key::"))),
        ("ReadableArns", json!(SECRET)),
        ("TargetGroupArn", json!(BALANCER)),
        ("LoadBalancerSecurityGroupId", json!("sg-balancer")),
        ("EnableExecuteCommand", json!("true")),
    ]
}

#[test]
fn a_real_application_fits_the_template_as_it_is() {
    let template = template(&real_application());
    let task = task_definition(&template);
    let variables = [
        json!({ "name": "DJANGO_SETTINGS_MODULE", "value": "shop.settings" }),
        json!({ "name": "WEB_CONCURRENCY", "value": "2" }),
    ];
    for name in ["app", "migrate"] {
        let container = container(&task, name);
        let environment = container["environment"].as_array().unwrap();
        assert!(environment.ends_with(&variables), "{name}: {environment:?}");
        assert_eq!(container["environmentFiles"], json!([{ "type": "s3", "value": FILE }]));
        let secrets = json!([
            { "name": "DATABASE_URL", "valueFrom": format!("{SECRET}:url::") },
            { "name": "SECRET_KEY", "valueFrom": format!("{SECRET}:key::") },
        ]);
        assert_eq!(container["secrets"], secrets, "{name}");
    }
    assert!(container(&task, "bellwether").get("secrets").is_none(), "they are not the sidecar's");
    let url = environment(container(&task, "bellwether"), "BELLWETHER_ADVERTISE");
    assert_eq!(url, "http://{ip}:8000", "the leader's application can be found");
    let ports = json!([{ "containerPort": 8000, "protocol": "tcp" }]);
    assert_eq!(container(&task, "app")["portMappings"], ports);
    let service = template.properties("Service");
    let balancer =
        json!([{ "ContainerName": "app", "ContainerPort": 8000, "TargetGroupArn": BALANCER }]);
    assert_eq!(service["LoadBalancers"], balancer);
    assert_eq!(service["EnableExecuteCommand"], "true");
    let ingress = template.properties("SecurityGroup")["SecurityGroupIngress"].clone();
    assert_eq!(ingress[0]["SourceSecurityGroupId"], "sg-balancer");
    assert_eq!(ingress.as_array().unwrap().len(), 1, "and no other");
    let policies = template.properties("ExecutionRole")["Policies"].to_string();
    assert!(
        policies.contains(SECRET) && policies.contains("arn:aws:s3:::settings\""),
        "{policies}"
    );

    let module = evaluated(&json!({
        "region": "REGION", "bellwether_image": "BELLWETHER_IMAGE", "app_image": "APP_IMAGE",
        "app_command": ["gunicorn", "shop.wsgi"], "app_port": 8000,
        "environment": { "DJANGO_SETTINGS_MODULE": "shop.settings", "WEB_CONCURRENCY": "2" },
        "environment_files": [FILE],
        "secrets": { "DATABASE_URL": format!("{SECRET}:url::"), "SECRET_KEY": format!("{SECRET}:key::") },
        "migrate_command": ["python", "manage.py", "migrate"], "table_name": "TABLE",
        "cluster_name": "CLUSTER", "vpc_id": "VPC", "subnet_ids": ["SUBNET"],
        "target_group_arn": BALANCER, "load_balancer_security_group_id": "sg-balancer",
    }));
    let containers =
        module["aws_ecs_task_definition"][0]["container_definitions"].as_str().unwrap();
    let containers: Value =
        serde_json::from_str(&containers.replace("/ecs/web", "LOG_GROUP")).unwrap();
    assert_eq!(containers, task["containerDefinitions"]);
    let service = &module["aws_ecs_service"][0];
    // The parser here does not expand the block of the load balancer.
    assert_eq!(service["health_check_grace_period_seconds"], 60);
    assert_eq!(service["wait_for_steady_state"], true);
    let rule = &module["aws_vpc_security_group_ingress_rule"][0];
    assert_eq!(rule["referenced_security_group_id"], "sg-balancer");
}

#[test]
fn existing_resources_are_used_and_not_created() {
    let role = |name: &str| json!(format!("arn:aws:iam::ACCOUNT:role/{name}"));
    let template = template(&[
        ("TaskRoleArn", role("mine")),
        ("ExecutionRoleArn", role("ours")),
        ("SecurityGroupIds", json!("sg-1,sg-2")),
        ("ClusterName", json!("prod")),
        ("TableName", json!("leases")),
    ]);
    let task = task_definition(&template);
    assert_eq!((&task["taskRoleArn"], &task["executionRoleArn"]), (&role("mine"), &role("ours")));
    let service = template.properties("Service");
    let groups = &service["NetworkConfiguration"]["AwsvpcConfiguration"]["SecurityGroups"];
    assert_eq!(*groups, json!(["sg-1", "sg-2"]));
    assert_eq!(service["Cluster"], "prod");
    for resource in ["TaskRole", "ExecutionRole", "SecurityGroup", "Cluster", "Leases"] {
        assert!(!template.creates(resource), "{resource}");
    }
    let module = evaluated(&json!({
        "region": "REGION", "bellwether_image": "B", "app_image": "A", "cluster_name": "C",
        "vpc_id": "V", "subnet_ids": ["S"], "table_name": "T", "security_group_ids": ["sg-1"],
        "task_role_arn": role("mine"), "execution_role_arn": role("ours"),
    }));
    for resource in ["aws_iam_role", "aws_security_group", "aws_dynamodb_table"] {
        let created = module
            .get(resource)
            .and_then(Value::as_array)
            .map_or(0, |all| all.iter().filter(|one| !one.to_string().contains("data.")).count());
        let expected = usize::from(resource == "aws_dynamodb_table");
        assert!(created <= expected, "{resource}: {:?}", module.get(resource));
    }
    assert_eq!(module["aws_ecs_task_definition"][0]["task_role_arn"], role("mine"));
}

/// What the image's entrypoint sets up is there for the migration, unless it is to be replaced.
#[test]
fn the_migration_runs_by_the_entrypoint_of_the_image() {
    let once =
        ["once", "--key", "auto", "--timeout", "30m", "--", "python", "manage.py", "migrate"];
    let task = task_definition(&template(&[]));
    let kept = container(&task, "migrate");
    assert!(kept.get("entryPoint").is_none());
    assert_eq!(kept["command"], json!([["/opt/bellwether/bellwether"].as_slice(), &once].concat()));
    let task = task_definition(&template(&[("MigrateEntryPoint", json!("replace"))]));
    let replaced = container(&task, "migrate");
    assert_eq!(replaced["entryPoint"], json!(["/opt/bellwether/bellwether"]));
    assert_eq!(replaced["command"], json!(once));
}

/// What Terraform makes of the module with these variables.
fn evaluated(variables: &Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(root().join(MODULE)).unwrap().flatten() {
        fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    fs::write(folder.path().join("given.tfvars.json"), variables.to_string()).unwrap();
    let script = "import json, tfparse; print(json.dumps(tfparse.load_from_path('.', \
                  stop_on_hcl_error=True, vars_paths=['given.tfvars.json']), default=str))";
    let text = must(python("python").args(["-c", script]).current_dir(folder.path()));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn the_terraform_module_is_formatted_and_creates_the_table_unless_there_is_one() {
    for file in fs::read_dir(root().join(MODULE)).unwrap().flatten() {
        must(tool("hclfmt").args(["-check", "-require-no-change"]).arg(file.path()));
    }
    let given = json!({
        "region": "REGION", "bellwether_image": "B", "app_image": "A", "cluster_name": "C",
        "vpc_id": "V", "subnet_ids": ["S"],
    });
    let module = evaluated(&given);
    let table = &module["aws_dynamodb_table"][0];
    assert_eq!((&table["name"], &table["hash_key"]), (&json!("web-leases"), &json!("election")));
    assert_eq!(table["deletion_protection_enabled"], true);
    assert_eq!(table["lifecycle"]["prevent_destroy"], true);
    let containers = module["aws_ecs_task_definition"][0]["container_definitions"].clone();
    let containers: Value = serde_json::from_str(containers.as_str().unwrap()).unwrap();
    let names: Vec<_> = containers.as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(names, ["install", "bellwether", "app"]);
    assert!(module.get("aws_appautoscaling_target").is_none());
}

#[test]
fn the_app_starts_after_the_sidecar_and_stops_before_it() {
    let task = task_definition(&template(&[]));
    let app = container(&task, "app");
    let after = |name: &str, when: &str| {
        let wanted = json!({ "containerName": name, "condition": when });
        app["dependsOn"].as_array().unwrap().contains(&wanted)
    };
    assert!(after("bellwether", "HEALTHY") && after("install", "SUCCESS"));
    assert!(after("migrate", "SUCCESS"));
    assert_eq!(container(&task, "migrate")["essential"], false);
    assert!(container(&task, "bellwether").get("dependsOn").is_none(), "no circle");
    let without = task_definition(&template(&[("MigrateCommand", json!(""))]));
    assert_eq!(without["containerDefinitions"].as_array().unwrap().len(), 3);
    assert_eq!(container(&without, "app")["dependsOn"].as_array().unwrap().len(), 2);
}

#[test]
fn each_container_has_the_time_that_its_end_may_take() {
    let task = task_definition(&template(&[]));
    let mut total = container(&task, "app")["stopTimeout"].as_u64().unwrap();
    for name in ["bellwether", "migrate"] {
        let container = container(&task, name);
        let grace = environment(container, "BELLWETHER_SHUTDOWN_GRACE");
        let grace = crate::platforms::tools::duration(grace.as_str().unwrap()).as_secs();
        let stop_timeout = container["stopTimeout"].as_u64().unwrap();
        assert!(stop_timeout > grace + VACATING_SECONDS, "{name}");
        total += if name == "bellwether" { stop_timeout } else { 0 };
    }
    assert!(total <= 120, "what a Spot task is given: {total}");
}

fn environment<'a>(container: &'a Value, name: &str) -> &'a Value {
    let variables = container["environment"].as_array().unwrap();
    &variables.iter().find(|variable| variable["name"] == name).unwrap()["value"]
}

#[test]
fn the_sidecar_cannot_fall_back_on_a_file_and_cannot_be_held_up_by_its_log() {
    let task = task_definition(&template(&[]));
    let sidecar = container(&task, "bellwether");
    assert_eq!(sidecar["readonlyRootFilesystem"], true);
    assert_eq!(sidecar["logConfiguration"]["options"]["mode"], "non-blocking");
    assert_eq!(environment(sidecar, "BELLWETHER_STORE"), "dynamodb://TABLE?region=REGION");
}

fn actions(template: &Template) -> Value {
    let role = template.properties("TaskRole");
    let policy = &role["Policies"][0]["PolicyDocument"]["Statement"][0];
    assert_eq!(policy["Resource"], "arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE");
    policy["Action"].clone()
}

#[test]
fn the_role_may_what_the_documented_policy_allows_and_no_more() {
    let documented: Value = serde_json::from_str(&text("deploy/iam/dynamodb-policy.json")).unwrap();
    let template = template(&[]);
    assert_eq!(actions(&template), documented["Statement"][0]["Action"]);
    assert_eq!(template.properties("TaskRole")["Policies"].as_array().unwrap().len(), 1);
}

#[test]
fn the_table_is_the_documented_one_and_stays() {
    let (documented, template) = (yaml(TABLE), template(&[]));
    let table = template.raw()["Resources"]["Leases"].clone();
    let wanted = &documented["Resources"]["Leases"];
    for field in ["BillingMode", "DeletionProtectionEnabled", "AttributeDefinitions", "KeySchema"] {
        assert_eq!(table["Properties"][field], wanted["Properties"][field], "{field}");
    }
    assert_eq!(table["DeletionPolicy"], "Retain");
    assert_eq!(table["UpdateReplacePolicy"], "Retain");
    let existing = self::template(&[("TableName", json!("mine"))]);
    let store =
        environment(container(&task_definition(&existing), "bellwether"), "BELLWETHER_STORE")
            .clone();
    assert_eq!(store, "dynamodb://mine?region=REGION");
}
