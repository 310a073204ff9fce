//! The pages about the platforms: every command in them is run, and every message is a real one.
//!
//! What needs an engine is run as far as it goes without: Compose checks the file and the flags, and
//! of a `docker run` the command in the container is run.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::platforms::tools::{must, printed, python, root, text, tool};
use support::{bellwether, eventually};

const RUN: &str = "<!-- run by tests/deploy/platforms/docs.rs -->";

/// The commands of a page, one a line, without their prompts.
fn commands(page: &str) -> String {
    let page = text(page);
    let lines: Vec<_> = page.lines().map(str::trim_start).collect();
    let mut found = String::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == RUN) {
        assert_eq!(lines[at + 1], "```console");
        let mut continues = false;
        for line in lines[at + 2..].iter().take_while(|line| **line != "```") {
            // The rest is what a command prints.
            if continues || line.starts_with("$ ") {
                found += line.trim_start_matches("$ ");
                found.push('\n');
                continues = line.ends_with('\\');
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// What needs an instance, a task, or a person's own machine.
const NOT_RUN: [(&str, &[&str]); 3] = [
    (
        "docs/beanstalk.md",
        &[
            "/usr/local/bin/bellwether is-leader",
            "aws ssm start-session --target i-0123456789abcdef0 --document-name AWS-StartPortForwardingSession --parameters portNumber=4040,localPortNumber=4040",
        ],
    ),
    (
        "docs/ecs.md",
        &[
            "aws ecs execute-command --cluster CLUSTER --task TASK --container app --interactive --command '/opt/bellwether/bellwether is-leader'",
            "aws ssm start-session --target ecs:CLUSTER_TASK_RUNTIME --document-name AWS-StartPortForwardingSession --parameters portNumber=4040,localPortNumber=4040",
        ],
    ),
    ("docs/compose.md", &[]),
];

#[test]
fn every_other_command_of_the_pages_is_run() {
    for (page, expected) in NOT_RUN {
        let text = text(page);
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        let begins = (0..lines.len()).filter(|at| lines[*at] == "```console");
        let unmarked = begins.filter(|at| lines[at - 1] != RUN);
        let left =
            unmarked.flat_map(|at| lines[at + 1..].iter().take_while(|line| **line != "```"));
        let left: Vec<_> = left.filter_map(|line| line.strip_prefix("$ ")).collect();
        assert_eq!(left, expected, "{page}");
    }
}

/// There is no server for them here, and they fail for that reason only.
#[test]
fn the_command_line_of_aws_takes_those_that_are_not_run() {
    let lines = NOT_RUN.iter().flat_map(|(_, lines)| *lines);
    for line in lines.filter(|line| line.starts_with("aws ")) {
        let mut shell = Command::new("bash");
        let path = std::env::var("PATH").unwrap();
        let aws = root().join("target/tools/platforms/bin");
        shell.env("PATH", format!("{}:{path}", aws.display())).env("AWS_MAX_ATTEMPTS", "1");
        shell.env("AWS_ENDPOINT_URL", "http://127.0.0.1:1").env("AWS_DEFAULT_REGION", "eu-west-1");
        shell.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        let output = shell.args(["-c", line]).stdin(Stdio::null()).output().unwrap();
        // 2 or 252 would be a line that it does not understand.
        assert_eq!(output.status.code(), Some(255), "{line}: {}", printed(&output));
    }
}

/// AWS, as far as templates and their resources go.
struct Moto(Child, u16);

impl Moto {
    fn start() -> Self {
        let port = support::ports::free_port();
        let mut command = python("moto_server");
        command.args(["--port", &port.to_string()]).stdin(Stdio::null());
        let moto = Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap(), port);
        eventually("moto answers", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        moto
    }

    /// A shell with the real command line of AWS, which asks this one.
    fn shell(&self, folder: &Path) -> Command {
        let mut shell = Command::new("bash");
        let path = std::env::var("PATH").unwrap();
        let aws = root().join("target/tools/platforms/bin");
        let program = Path::new(env!("CARGO_BIN_EXE_bellwether")).parent().unwrap();
        shell.env("PATH", format!("{}:{}:{path}", aws.display(), program.display()));
        shell.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.1));
        shell.env("AWS_DEFAULT_REGION", "eu-west-1").env("AWS_PAGER", "");
        shell.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
        shell.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder);
        shell.args(["-euo", "pipefail", "-c"]).current_dir(folder);
        shell
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy of what the commands read and write.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    must(Command::new("cp").arg("-a").arg(root().join("deploy")).arg(folder.path()));
    let _ = fs::remove_dir_all(folder.path().join("deploy/compose/secrets"));
    folder
}

#[test]
fn ecs() {
    let (moto, folder) = (Moto::start(), checkout());
    let network = "VPC=$(aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text)\n\
                   SUBNETS=$(aws ec2 describe-subnets --query 'Subnets[].SubnetId' --output text | tr '\\t' ,)\n";
    // There is no engine, and no registry: that the words are right is all that shows here.
    let engine = "docker() { case \"$1\" in login) grep -q . ;; push) echo \"$2\" | grep -q dkr.ecr ;; *) false ;; esac; }\n\
                  make() { test \"$1 $2\" = 'image PLATFORM=linux/amd64'; }\n";
    let commands = engine.to_owned()
        + &commands("docs/ecs.md").replace("VPC=vpc-1 SUBNETS=subnet-1,subnet-2", network);
    assert!(commands.contains(network), "the example's names are replaced");
    // The stand-in creates stacks with lists in their parameters, but fails to update them.
    let commands = ["ScheduleTimezone=Europe/Berlin", "MigrateCommand=python,manage.py,migrate"]
        .iter()
        .fold(commands, |all, last| all.replace(last, &format!("{last} --no-execute-changeset")));
    assert_eq!(commands.matches("--no-execute-changeset").count(), 2);
    let look = "aws ecs describe-services --cluster \"$(part Cluster)\" --services web --query 'services[0].desiredCount'\n\
                aws ecs describe-task-definition --task-definition web --query 'taskDefinition.revision'\n";
    let printed = must(moto.shell(folder.path()).arg(commands + look));
    assert!(
        printed.contains("no instance has stood"),
        "the table that was created is read: {printed}"
    );
    assert!(
        printed.ends_with("2\n2\n"),
        "two tasks; the task definition alone is a second revision: {printed}"
    );
    terraform();
}

/// The module as the page calls it.
fn terraform() {
    let page = text("docs/ecs.md");
    let (_, call) = page.split_once("```hcl\n").unwrap();
    let (call, _) = call.split_once("```").unwrap();
    let folder = checkout();
    fs::write(folder.path().join("main.tf"), call).unwrap();
    must(
        tool("hclfmt").args(["-check", "-require-no-change", "main.tf"]).current_dir(folder.path()),
    );
    let script = "import tfparse; d = tfparse.load_from_path('.', stop_on_hcl_error=True); \
                  print(d['aws_ecs_task_definition'][0]['container_definitions'])";
    let containers = must(python("python").args(["-c", script]).current_dir(folder.path()));
    assert!(containers.contains("dynamodb://web-leases?region=eu-west-1"), "{containers}");
}

/// A change of `tasks` has no effect on a service that exists, and nothing said so.
#[test]
fn the_module_says_that_it_keeps_the_number_of_tasks() {
    let main = text("deploy/ecs/terraform/main.tf");
    assert!(main.contains("ignore_changes = [desired_count]"), "the pages say that it is kept");
    let variables = text("deploy/ecs/terraform/variables.tf");
    let (_, tasks) = variables.split_once("variable \"tasks\"").unwrap();
    let (tasks, _) = tasks.split_once("\n}\n").unwrap();
    let page = text("docs/ecs.md");
    let row = page.lines().find(|line| line.starts_with("| `Tasks`, ")).unwrap();
    for place in [tasks, row] {
        assert!(place.contains("aws ecs update-service --desired-count"), "{place}");
    }
}

#[test]
fn beanstalk() {
    let (moto, folder) = (Moto::start(), checkout());
    fs::create_dir(folder.path().join("my-app")).unwrap();
    // This stands for `docker run --rm --user 0 --volume FOLDER:/out IMAGE install /out`.
    // The application is in git, which ignores its programs.
    let before = "git -C my-app init --quiet && echo '*/bellwether' > my-app/.gitignore\n\
                  git config --global user.name A && git config --global user.email a@b\n\
                  aws iam create-role --role-name aws-elasticbeanstalk-ec2-role \
                  --assume-role-policy-document '{}' > /dev/null\n\
                  make() { test \"$1 $2\" = 'image PLATFORM=linux/amd64' && test \"$3\" = \"IMAGE=$BELLWETHER_IMAGE\"; }\n\
                  docker() { test \"$1 $2 $3 $5\" = 'run --rm --user --volume'; \
                  test \"$7\" = \"$BELLWETHER_IMAGE\"; bellwether \"$8\" \"${6%%:*}\"; }\n";
    let after = "aws iam list-attached-role-policies --role-name aws-elasticbeanstalk-ec2-role --query 'length(AttachedPolicies)'\n\
                 mkdir shipped && git -C my-app archive HEAD | tar -x -C shipped\n\
                 shipped/.platform/bellwether/bellwether --version\n";
    let printed = must(
        moto.shell(folder.path()).arg(before.to_owned() + &commands("docs/beanstalk.md") + after),
    );
    assert!(printed.contains("\n1\nbellwether "), "{printed}");
    for file in [".platform/hooks/prebuild/10_bellwether.sh", ".ebextensions/bellwether.config"] {
        assert!(folder.path().join("my-app").join(file).exists(), "{file}");
    }
}

#[test]
fn compose() {
    let (folder, commands) = (checkout(), commands("docs/compose.md"));
    // `docker compose -f FILE VERB FLAGS SERVICES`
    let docker = format!(
        "git init --quiet . && git -c user.name=A -c user.email=a@b commit --quiet --allow-empty -m A\n\
         make() {{ test \"$1 $2\" = 'image IMAGE=bellwether:0.1.0'; }}\n\
         docker() {{ if test \"$1\" = build; then shift; while test $# -gt 1; do\n\
         case $1 in --tag) ;; --build-arg) test -n \"${{2#*=}}\" ;; *) return 1 ;; esac; shift 2; done\n\
         test -f \"$1/Dockerfile\"; return; fi\n\
         test \"$1 $2\" = 'compose -f'; {compose} -f \"$3\" config --quiet\n\
         file=$3 verb=$4; shift 4\n\
         if test \"$verb\" = exec; then set -- \"$1\"; fi\n\
         for word; do case $word in\n\
         -*) {compose} \"$verb\" --help | grep -e \"$word\" > /dev/null ;;\n\
         *) {compose} -f \"$file\" config --services | grep -x \"$word\" > /dev/null ;; esac; done; }}\n",
        compose = root().join("target/tools/bin/docker-compose").display()
    );
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &(docker + &commands)]).current_dir(folder.path());
    must(&mut shell);
    assert_eq!(commands.matches("docker compose").count(), 12);
    // The store's URL that these commands wrote is valid; there is no server.
    let store = folder.path().join("deploy/compose/secrets/store");
    let url = fs::read_to_string(&store).unwrap();
    let url = url.replace("@postgres/", "@127.0.0.1:1/");
    fs::write(&store, url).unwrap();
    let output = bellwether().args(["status", "--store-file"]).arg(store).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", printed(&output));
}

/// The error of a sidecar that cannot start.
fn refused(change: impl FnOnce(&mut Command)) -> String {
    let mut command = bellwether();
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
    change(&mut command);
    let output = command.output().unwrap();
    assert!([Some(64), Some(69)].contains(&output.status.code()), "{}", printed(&output));
    printed(&output)
}

#[test]
fn the_pages_quote_the_errors_of_the_sidecar() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let store = ["--store", "dynamodb://leases?region=eu-west-1&endpoint=http://127.0.0.1:1"];
    let pages = ["docs/ecs.md", "docs/beanstalk.md", "docs/compose.md"].map(text);
    for (quoted, printed) in [
        (
            "is in use by another process; stop it, or choose another with --listen",
            refused(|command| {
                command.args(store).args(["--listen", &taken]);
            }),
        ),
        (
            "no store is named, and this is ECS",
            refused(|command| {
                command.env("ECS_CONTAINER_METADATA_URI_V4", "http://127.0.0.1:1/v4");
            }),
        ),
        (
            "no store is named, and this is a container",
            refused(|command| {
                command.env("container", "oci");
            }),
        ),
        (
            "cannot read the store URL from",
            refused(|command| {
                command.args(["--store-file", "/run/secrets/none"]);
            }),
        ),
        (
            "there are no AWS credentials",
            refused(|command| {
                command
                    .args(store)
                    .env("AWS_EC2_METADATA_DISABLED", "true")
                    .env("HOME", "/nonexistent");
            }),
        ),
    ] {
        assert!(printed.contains(quoted), "{quoted}: {printed}");
        assert!(pages.iter().any(|page| page.contains(quoted)), "no page quotes: {quoted}");
    }
    // These are checked where the store can be made to say them.
    for (quoted, source) in [
        ("denied the request:", "src/store/dynamodb/errors.rs"),
        ("does not exist, and cannot be created from here", "src/store/dynamodb/table.rs"),
        ("is on a network file system", "src/store/sqlite/folder.rs"),
    ] {
        assert!(text(source).contains(quoted), "{quoted}");
        assert!(pages.iter().any(|page| page.contains(quoted)), "no page quotes: {quoted}");
    }
}
