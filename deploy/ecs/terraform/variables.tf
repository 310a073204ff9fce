variable "service_name" {
  description = "Names the service, its task definitions and its election. Two services that share a table must not share a name: they would elect one leader between them."
  type        = string
  default     = "web"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.service_name))
    error_message = "Use 1 to 63 lower-case letters, digits and dashes."
  }
}

variable "region" {
  description = "The region of the provider."
  type        = string
}

variable "bellwether_image" {
  description = "The image of bellwether, by version or digest, in a registry that the tasks can reach."
  type        = string
}

variable "app_image" {
  description = "The image of your application."
  type        = string
}

variable "app_command" {
  description = "The command of your application. Empty for the image's own."
  type        = list(string)
  default     = []
}

variable "app_stop_seconds" {
  description = "How long your application may take to end its work after SIGTERM, before it is killed. The lease is kept for it meanwhile. With the 30 seconds of the sidecar it should stay below the two minutes that a Spot task is given."
  type        = number
  default     = 60

  validation {
    condition     = var.app_stop_seconds >= 2 && var.app_stop_seconds <= 120
    error_message = "Fargate takes 2 to 120 seconds."
  }
}

variable "app_port" {
  description = "The port on which your application listens. Null for none."
  type        = number
  default     = null
}

variable "environment" {
  description = "Variables of your application and its migration, such as { DJANGO_SETTINGS_MODULE = \"shop.settings\" }."
  type        = map(string)
  default     = {}
}

variable "environment_files" {
  description = "The ARNs of files of variables in S3, which end in .env, for both of them."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "Secrets of both of them: the ARN in Secrets Manager or Parameter Store for each variable. ARN:KEY:: is one key of a secret in JSON."
  type        = map(string)
  default     = {}
}

variable "kms_key_arns" {
  description = "Keys of your own with which the secrets are encrypted."
  type        = list(string)
  default     = []
}

variable "migrate_command" {
  description = "A command that runs once for each image of your application, in one task, before your application starts in any task with that image, such as [\"python\", \"manage.py\", \"migrate\"]. Empty for none."
  type        = list(string)
  default     = []
}

variable "migrate_keeps_entrypoint" {
  description = "True if the entrypoint of your image runs the command that it is given, as docker-entrypoint.sh does: what it sets up is there for the migration, too. False if it does not, and the command is to run without it."
  type        = bool
  default     = true
}

variable "migrate_timeout" {
  description = "How long a task waits for that command in another task. A command that runs here is not cut off."
  type        = string
  default     = "30m"
}

variable "table_name" {
  description = "A table that is there already. Empty to create one, which Terraform then refuses to destroy."
  type        = string
  default     = ""
}

variable "cluster_name" {
  description = "The cluster, which has to exist."
  type        = string
}

variable "task_role_arn" {
  description = "A role of your application that is there already, with the rights of deploy/iam/dynamodb-policy.json beside its own. Empty to create one."
  type        = string
  default     = ""
}

variable "execution_role_arn" {
  description = "A role of ECS itself that is there already, which may fetch the images and read the secrets. Empty to create one."
  type        = string
  default     = ""
}

variable "security_group_ids" {
  description = "Security groups of the tasks that are there already. Empty to create one, which lets in the load balancer, if there is one, and nobody else."
  type        = list(string)
  default     = []
}

variable "target_group_arn" {
  description = "The target group of a load balancer, of target type ip, for app_port. Empty for no load balancer."
  type        = string
  default     = ""
}

variable "load_balancer_security_group_id" {
  description = "The security group of the load balancer, which the created group lets in."
  type        = string
  default     = ""
}

variable "health_check_grace_seconds" {
  description = "How long your application may take from its own start until the load balancer finds it healthy. Not for a migration: while that runs, the task has not started."
  type        = number
  default     = 60
}

variable "enable_execute_command" {
  description = "Whether \"aws ecs execute-command\" may open a shell in the tasks."
  type        = bool
  default     = false
}

variable "wait_for_steady_state" {
  description = "Whether \"apply\" waits for the deployment, and fails with it."
  type        = bool
  default     = true
}

variable "steady_state_timeout" {
  description = "How long it waits: longer than a migration and the stop of the old tasks take."
  type        = string
  default     = "60m"
}

variable "vpc_id" {
  description = "Where the tasks run."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets from which the registry, CloudWatch Logs and DynamoDB can be reached, in two zones or more."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "True in public subnets, which have no NAT gateway. It lets nobody in."
  type        = bool
  default     = false
}

variable "tasks" {
  description = "How many tasks. With two or more, another one leads at once when the leader is stopped."
  type        = number
  default     = 2
}

variable "cpu" {
  description = "CPU units of a task, for the migration, then for your application, and about 1 in 1,000 of it for the sidecar."
  type        = number
  default     = 256
}

variable "memory" {
  description = "MiB of a task, for the migration, then for your application. The sidecar may take 64 of it and takes about 8."
  type        = number
  default     = 512
}

variable "architecture" {
  description = "The architecture of both images: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30
}

variable "nights" {
  description = "When the service goes down to no task and comes back, such as { night = \"cron(0 20 ? * MON-FRI *)\", morning = \"cron(0 7 ? * MON-FRI *)\", timezone = \"Europe/Berlin\" }. Null for never."
  type = object({
    night    = string
    morning  = string
    timezone = string
  })
  default = null
}
