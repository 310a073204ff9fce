//! The end of each command's help: examples, which docs/cli.md shows as well, and where to read on.

pub(super) const PROGRAM: &str = "\
`bellwether COMMAND --help` explains a command.
The guides are in the folder docs of the source, and docs/README.md lists them:
ECS, Beanstalk, Kubernetes, stores, fencing, operations. `bellwether man DIR`
writes manual pages, `bellwether completions --help` tells how to complete flags.";

pub(super) const SERVE: &str = "\
Examples:
  bellwether serve --store postgres://shop@db/shop --election cron
  bellwether serve --gate-url http://127.0.0.1:8080/healthz
  curl -s localhost:4040/leader";

pub(super) const RUN: &str = "\
Examples:
  bellwether run --store sqlite:///var/lib/shop/leases.db -- python consumer.py
  bellwether run --election billing -- sh -c 'while sleep 60; do ./bill; done'";

pub(super) const ONCE: &str = "\
Examples:
  bellwether once --key v42 -- python manage.py migrate
  bellwether once --key auto --timeout 14m -- ./bin/migrate
  bellwether once --key auto --run 'python manage.py migrate' -- gunicorn shop.wsgi
  bellwether once --key v42 --order 42 --superseded wait -- python manage.py migrate
  bellwether once --revert v42 -- python manage.py migrate accounts 0001
  bellwether once --work report --every 1h -- ./bin/report
  bellwether once --reset --key v42";

pub(super) const ONLY: &str = "\
Examples:
  bellwether only -- ./bin/send-invoices
  bellwether only --wait 5s --skip-code 3 -- ./bin/send-invoices";

pub(super) const IS_LEADER: &str = "\
Examples:
  bellwether is-leader
  if bellwether is-leader --quiet; then ./bin/send-invoices; fi";

pub(super) const WAIT: &str = "\
Examples:
  bellwether wait
  bellwether wait --leading --timeout 2m";

pub(super) const STATUS: &str = "\
Examples:
  bellwether status --store postgres://shop@db/shop
  bellwether status --watch
  bellwether status --wide
  bellwether status --all-namespaces --json";

pub(super) const RESIGN: &str = "\
Examples:
  bellwether resign --cooldown 30m
  bellwether resign --sidecar http://10.0.0.11:4040 --token-file /etc/bellwether/token";

pub(super) const PAUSE: &str = "\
Examples:
  bellwether pause --for 30m --reason 'new disks for the database'
  bellwether pause --election reports --store dynamodb://leases?region=eu-central-1";

pub(super) const RESUME: &str = "\
Examples:
  bellwether resume
  bellwether resume --election reports --store dynamodb://leases?region=eu-central-1";

pub(super) const INIT: &str = "\
Examples:
  bellwether init --store postgres://owner@db/shop
  bellwether init --store dynamodb://leases?region=eu-central-1";

pub(super) const HEALTHCHECK: &str = "\
Examples:
  bellwether healthcheck
  bellwether healthcheck --path /ready";

pub(super) const INSTALL: &str = "\
Examples:
  bellwether install /opt/bellwether";

pub(super) const COMPLETIONS: &str = "\
Examples:
  bellwether completions bash > ~/.local/share/bash-completion/completions/bellwether
  bellwether completions zsh > ~/.zfunc/_bellwether
  bellwether completions fish > ~/.config/fish/completions/bellwether.fish

Create the folder first, and start a new shell afterwards. bash needs the package
bash-completion. zsh needs these lines in ~/.zshrc:
  fpath=(~/.zfunc $fpath)
  autoload -U compinit && compinit";

pub(super) const MAN: &str = "\
Examples:
  bellwether man ~/.local/share/man/man1";
