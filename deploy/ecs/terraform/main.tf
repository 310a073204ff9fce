# A service on Fargate whose tasks elect a leader, with the table, roles and logs that this takes: the
# same as ../service.yaml, where the reasons stand at more length. See docs/ecs.md.

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
      # A log that cannot be written must not hold up an election.
      mode            = "non-blocking"
      max-buffer-size = "4m"
    }
  }

  # Puts the program where the application finds it, as /opt/bellwether/bellwether.
  install = {
    name       = "install"
    image      = var.bellwether_image
    entryPoint = ["/bellwether"]
    command    = ["install", "/opt/bellwether"]
    essential  = false
    # A task's volume belongs to root. Without capabilities root can write to that, and nothing else.
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
    # Without the sidecar the task could never lead: what is wrong with it has to show. If it ran for a
    # minute before, it is started again in its place, and the application stays.
    essential     = true
    restartPolicy = { enabled = true, restartAttemptPeriod = 60 }
    environment = [
      { name = "BELLWETHER_STORE", value = local.store },
      { name = "BELLWETHER_ELECTION", value = var.service_name },
      { name = "BELLWETHER_SHUTDOWN_GRACE", value = "20s" },
    ]
    # Whether the election loop turns, and nothing else: neither a store that is away, nor an election
    # that is lost or undecided, may stop the application.
    healthCheck = {
      command     = ["CMD", "/bellwether", "healthcheck", "--path", "/livez"]
      interval    = 5
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }
    # It is told to stop when the application has ended. It may wait for the 20 s of the grace, 2 s
    # until a kill is seen, and 3 s to vacate the lease: one call to the store.
    stopTimeout = 30
    # With this, a store that was forgotten cannot become a file in each task, each with a leader of its
    # own.
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }
    # An application that takes all of the CPU cannot keep the sidecar from renewing.
    cpu              = 64
    memory           = 64
    logConfiguration = local.logs
  }

  migrate = {
    name  = "migrate"
    image = var.app_image
    # Each revision once, in whichever task comes first. The others wait for it.
    entryPoint = ["/opt/bellwether/bellwether", "once", "--key", "auto", "--timeout", var.migrate_timeout, "--"]
    command    = var.migrate_command
    # It ends, and the task goes on.
    essential = false
    dependsOn = [{ containerName = "install", condition = "SUCCESS" }]
    environment = [
      { name = "BELLWETHER_STORE", value = local.store },
      { name = "BELLWETHER_SHUTDOWN_GRACE", value = "20s" },
    ]
    # As for the sidecar: the command has the grace to end, then the lease is vacated.
    stopTimeout      = 30
    mountPoints      = [{ sourceVolume = "bellwether", containerPath = "/opt/bellwether", readOnly = true }]
    logConfiguration = local.logs
  }

  app = merge(
    {
      name      = "app"
      image     = var.app_image
      essential = true
      # ECS starts a container after those it depends on, and stops it before them. So the application's
      # work has ended when the sidecar is told to stop and vacates the lease.
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
  )

  # By JSON, because the containers are of different types.
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

  # Terms count up for ever. A table that is made anew begins them again at one.
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

# What the containers may do. The application's own rights come here, too.
resource "aws_iam_role" "task" {
  name_prefix        = "${substr(var.service_name, 0, 31)}-task-"
  assume_role_policy = data.aws_iam_policy_document.for_tasks.json
}

resource "aws_iam_role_policy" "stand_in_elections" {
  name   = "stand-in-elections"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.stand_in_elections.json
}

# What ECS itself may do to start the containers: fetch images and write logs.
resource "aws_iam_role" "execution" {
  name_prefix        = "${substr(var.service_name, 0, 31)}-exec-"
  assume_role_policy = data.aws_iam_policy_document.for_tasks.json
}

data "aws_partition" "current" {}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
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
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = local.containers

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture
  }

  volume {
    name = "bellwether"
  }
}

# Lets nobody in. Add what your application listens on.
resource "aws_security_group" "tasks" {
  name_prefix = "${var.service_name}-"
  description = "The tasks of ${var.service_name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "out" {
  security_group_id = aws_security_group.tasks.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
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

  # New tasks start beside the old ones and stand by. When the old leader is stopped, one of them leads
  # at once.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  # A migration that fails for good fails in every task: back to the revision before.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = var.assign_public_ip
  }

  # At night the scheduled actions say how many.
  lifecycle {
    ignore_changes = [desired_count]
  }

  # A task that starts before it has its rights ends at once.
  depends_on = [
    aws_iam_role_policy.stand_in_elections,
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

  # At night the scheduled actions say how many.
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
