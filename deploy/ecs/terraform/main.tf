# A service on Fargate whose tasks elect a leader, with the table, the roles and the logs for it. It is
# the same as ../service.yaml, which has more of the reasons. See docs/ecs.md.

locals {
  creates_table = var.table_name == ""
  table         = local.creates_table ? "${var.service_name}-leases" : var.table_name
  migrates      = length(var.migrate_command) > 0
  store         = "dynamodb://${local.table}?region=${var.region}"
  log_group     = "/ecs/${var.service_name}"

  logs = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = local.log_group
      awslogs-region        = var.region
      awslogs-stream-prefix = var.service_name
      # A log driver that hangs must not delay an election.
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  }

  # For the application and its migration.
  variables = [for name, value in var.environment : { name = name, value = value }]
  secrets   = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
  files     = [for arn in var.environment_files : { type = "s3", value = arn }]
  given = merge(
    length(local.secrets) > 0 ? { secrets = local.secrets } : {},
    length(local.files) > 0 ? { environmentFiles = local.files } : {},
  )

  # Copies the program to the shared volume: the application runs /opt/bellwether/bellwether.
  install = {
    name       = "install"
    image      = var.bellwether_image
    entryPoint = ["/bellwether"]
    command    = ["install", "/opt/bellwether"]
    essential  = false
    # A task's volume belongs to root. Root without capabilities can write only there.
    user                   = "0"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    mountPoints            = [{ sourceVolume = "bellwether", containerPath = "/opt/bellwether" }]
    logConfiguration       = local.logs
  }

  bellwether = {
    name       = "bellwether"
    image      = var.bellwether_image
    entryPoint = ["/bellwether"]
    command    = ["serve"]
    # Without the sidecar the task could never lead, so its failure must show. If the sidecar ran for a
    # minute or more, ECS restarts it in place, and the application keeps running.
    essential     = true
    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
    environment = concat(
      [
        { name = "BELLWETHER_STORE", value = local.store },
        { name = "BELLWETHER_ELECTION", value = var.service_name },
        { name = "BELLWETHER_SHUTDOWN_GRACE", value = "20s" },
      ],
      # While this task leads, all sidecars show this URL. {ip} is the address of the task.
      var.app_port == null ? [] : [{ name = "BELLWETHER_ADVERTISE", value = "http://{ip}:${var.app_port}" }],
    )
    # Checks only that the election loop runs. A store outage, a lost election or an undecided one must
    # not stop the application.
    healthCheck = {
      command     = ["CMD", "/bellwether", "healthcheck", "--path", "/livez"]
      interval    = 5
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    # The sidecar gets SIGTERM when the application has ended. It needs up to 20 s of grace, 2 s to
    # confirm a kill, and 3 s to vacate the lease with one call to the store.
    stopTimeout = 30
    # Without a store setting, each task would elect its own leader in its own file. On a read-only root
    # file system the sidecar exits with an error instead.
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    # The sidecar's share of the CPU, so that a busy application does not prevent renewals.
    cpu              = 64
    memory           = 64
    logConfiguration = local.logs
  }

  once = ["once", "--key", "auto", "--timeout", var.migrate_timeout, "--"]

  migrate = merge(
    {
      name  = "migrate"
      image = var.app_image
      # Runs once for each image, in the first task. The others wait.
      command = concat(
        var.migrate_keeps_entrypoint ? ["/opt/bellwether/bellwether"] : [], local.once, var.migrate_command,
      )
      # The task keeps running when this container has ended.
      essential = false
      dependsOn = [{ containerName = "install", condition = "SUCCESS" }]
      environment = concat(
        [
          { name = "BELLWETHER_STORE", value = local.store },
          { name = "BELLWETHER_SHUTDOWN_GRACE", value = "20s" },
        ],
        local.variables,
      )
      # As for the sidecar: the command has the grace to end. Then the lease is vacated.
      stopTimeout      = 30
      mountPoints      = [{ sourceVolume = "bellwether", containerPath = "/opt/bellwether", readOnly = true }]
      logConfiguration = local.logs
    },
    # The image's own entrypoint runs first, so the migration has what it sets up.
    var.migrate_keeps_entrypoint ? {} : { entryPoint = ["/opt/bellwether/bellwether"] },
    local.given,
  )

  app = merge(
    {
      name      = "app"
      image     = var.app_image
      essential = true
      # ECS starts a container after its dependencies, and stops it before them. So leader-only work has
      # ended when the sidecar gets SIGTERM and vacates the lease.
      dependsOn = concat(
        [
          { containerName = "bellwether", condition = "HEALTHY" },
          { containerName = "install", condition = "SUCCESS" },
        ],
        local.migrates ? [{ containerName = "migrate", condition = "SUCCESS" }] : [],
      )
      stopTimeout      = var.app_stop_seconds
      mountPoints      = [{ sourceVolume = "bellwether", containerPath = "/opt/bellwether", readOnly = true }]
      logConfiguration = local.logs
    },
    length(var.app_command) > 0 ? { command = var.app_command } : {},
    length(local.variables) > 0 ? { environment = local.variables } : {},
    var.app_port != null ? { portMappings = [{ containerPort = var.app_port, protocol = "tcp" }] } : {},
    local.given,
  )

  # As JSON, because the containers have different types.
  containers = local.migrates ? jsonencode([local.install, local.bellwether, local.migrate, local.app]) : jsonencode([local.install, local.bellwether, local.app])
}

resource "aws_dynamodb_table" "leases" {
  count = local.creates_table ? 1 : 0

  name                        = local.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "election"
  deletion_protection_enabled = true

  attribute {
    name = "election"
    type = "S"
  }

  # Terms must only grow. In a new table they would restart at 1.
  lifecycle {
    prevent_destroy = true
  }
}

data "aws_dynamodb_table" "leases" {
  count = local.creates_table ? 0 : 1

  name = var.table_name
}

data "aws_caller_identity" "current" {}

data "aws_iam_policy_document" "for_tasks" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

data "aws_iam_policy_document" "stand_in_elections" {
  statement {
    actions   = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem"]
    resources = [local.creates_table ? aws_dynamodb_table.leases[0].arn : data.aws_dynamodb_table.leases[0].arn]
  }
}

# The rights of the containers. Add your application's own rights here.
resource "aws_iam_role" "task" {
  count = var.task_role_arn == "" ? 1 : 0

  name_prefix        = "${substr(var.service_name, 0, 31)}-task-"
  assume_role_policy = data.aws_iam_policy_document.for_tasks.json
}

resource "aws_iam_role_policy" "stand_in_elections" {
  count = var.task_role_arn == "" ? 1 : 0

  name   = "stand-in-elections"
  role   = aws_iam_role.task[0].id
  policy = data.aws_iam_policy_document.stand_in_elections.json
}

# A shell in a task, by "aws ecs execute-command".
data "aws_iam_policy_document" "open_shells" {
  statement {
    actions = [
      "ssmmessages:CreateControlChannel",
      "ssmmessages:CreateDataChannel",
      "ssmmessages:OpenControlChannel",
      "ssmmessages:OpenDataChannel",
    ]
    resources = ["*"]
  }
}

resource "aws_iam_role_policy" "open_shells" {
  count = var.task_role_arn == "" && var.enable_execute_command ? 1 : 0

  name   = "open-shells"
  role   = aws_iam_role.task[0].id
  policy = data.aws_iam_policy_document.open_shells.json
}

# The rights of ECS to start the containers: pull images, read secrets, and write logs.
resource "aws_iam_role" "execution" {
  count = var.execution_role_arn == "" ? 1 : 0

  name_prefix        = "${substr(var.service_name, 0, 31)}-exec-"
  assume_role_policy = data.aws_iam_policy_document.for_tasks.json
}

data "aws_partition" "current" {}

resource "aws_iam_role_policy_attachment" "execution" {
  count = var.execution_role_arn == "" ? 1 : 0

  role       = aws_iam_role.execution[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "read_what_is_given" {
  # The ARN of a secret, without the key in its JSON.
  dynamic "statement" {
    for_each = length(var.secrets) > 0 ? [1] : []

    content {
      actions   = ["secretsmanager:GetSecretValue", "ssm:GetParameters"]
      resources = distinct([for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, min(7, length(split(":", arn)))))])
    }
  }

  dynamic "statement" {
    for_each = length(var.kms_key_arns) > 0 ? [1] : []

    content {
      actions   = ["kms:Decrypt"]
      resources = var.kms_key_arns
    }
  }

  dynamic "statement" {
    for_each = length(var.environment_files) > 0 ? [1] : []

    content {
      actions   = ["s3:GetObject"]
      resources = var.environment_files
    }
  }

  dynamic "statement" {
    for_each = length(var.environment_files) > 0 ? [1] : []

    content {
      actions   = ["s3:GetBucketLocation"]
      resources = distinct([for arn in var.environment_files : split("/", arn)[0]])
    }
  }
}

resource "aws_iam_role_policy" "read_what_is_given" {
  count = var.execution_role_arn == "" && length(var.secrets) + length(var.environment_files) > 0 ? 1 : 0

  name   = "read-what-is-given"
  role   = aws_iam_role.execution[0].id
  policy = data.aws_iam_policy_document.read_what_is_given.json
}

resource "aws_cloudwatch_log_group" "logs" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "task" {
  family                   = var.service_name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = var.task_role_arn == "" ? aws_iam_role.task[0].arn : var.task_role_arn
  execution_role_arn       = var.execution_role_arn == "" ? aws_iam_role.execution[0].arn : var.execution_role_arn
  container_definitions    = local.containers

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "bellwether"
  }
}

# Admits only the load balancer.
resource "aws_security_group" "tasks" {
  count = length(var.security_group_ids) == 0 ? 1 : 0

  name_prefix = "${var.service_name}-"
  description = "The tasks of ${var.service_name}"
  vpc_id      = var.vpc_id

  # A group in use cannot be destroyed before the next one exists.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "out" {
  count = length(var.security_group_ids) == 0 ? 1 : 0

  security_group_id = aws_security_group.tasks[0].id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  count = length(var.security_group_ids) == 0 && var.load_balancer_security_group_id != "" && var.app_port != null ? 1 : 0

  security_group_id            = aws_security_group.tasks[0].id
  ip_protocol                  = "tcp"
  from_port                    = var.app_port
  to_port                      = var.app_port
  referenced_security_group_id = var.load_balancer_security_group_id
}

data "aws_ecs_cluster" "cluster" {
  cluster_name = var.cluster_name
}

resource "aws_ecs_service" "service" {
  name            = var.service_name
  cluster         = data.aws_ecs_cluster.cluster.arn
  task_definition = aws_ecs_task_definition.task.arn
  launch_type     = "FARGATE"
  desired_count   = var.tasks

  enable_execute_command = var.enable_execute_command

  # "apply" fails if the deployment fails. Without this, "apply" ends before the deployment does, and
  # hides a roll-back.
  wait_for_steady_state = var.wait_for_steady_state

  # For the start of the application only. While a migration runs, the task is PENDING, and the grace
  # has not begun. A long grace would hide a broken release from the circuit breaker.
  health_check_grace_period_seconds = var.target_group_arn == "" ? null : var.health_check_grace_seconds

  dynamic "load_balancer" {
    for_each = var.target_group_arn == "" ? [] : [var.target_group_arn]

    content {
      container_name   = "app"
      container_port   = var.app_port
      target_group_arn = load_balancer.value
    }
  }

  timeouts {
    create = var.steady_state_timeout
    update = var.steady_state_timeout
  }

  # New tasks start beside the old ones, as standbys. When the old leader stops, one of them leads at
  # once.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  # A migration that fails for good fails in every task. ECS then rolls back.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = length(var.security_group_ids) > 0 ? var.security_group_ids : aws_security_group.tasks[*].id
    assign_public_ip = var.assign_public_ip
  }

  # At night the scheduled actions set it. Terraform takes no condition here, so the number of tasks is
  # also kept without nights.
  lifecycle {
    ignore_changes = [desired_count]
  }

  # A task that starts without its rights exits at once.
  depends_on = [
    aws_iam_role_policy.stand_in_elections,
    aws_iam_role_policy.read_what_is_given,
    aws_iam_role_policy_attachment.execution,
  ]
}

# At night the last leader vacates its lease. In the morning the first task leads at once.
resource "aws_appautoscaling_target" "nights" {
  count = var.nights == null ? 0 : 1

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${var.cluster_name}/${aws_ecs_service.service.name}"
  min_capacity       = var.tasks
  max_capacity       = var.tasks

  # At night the scheduled actions set it.
  lifecycle {
    ignore_changes = [min_capacity, max_capacity]
  }
}

resource "aws_appautoscaling_scheduled_action" "nights" {
  for_each = var.nights == null ? {} : {
    night   = { schedule = var.nights.night, tasks = 0 }
    morning = { schedule = var.nights.morning, tasks = var.tasks }
  }

  name               = each.key
  service_namespace  = aws_appautoscaling_target.nights[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.nights[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.nights[0].resource_id
  schedule           = each.value.schedule
  timezone           = var.nights.timezone

  scalable_target_action {
    min_capacity = each.value.tasks
    max_capacity = each.value.tasks
  }
}
