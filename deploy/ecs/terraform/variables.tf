variable "service_name" {
  description = "The name of the service, its task definitions and its election. Two services that share a table need different names. Otherwise they elect one leader between them."
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
  description = "The image of bellwether, with its version or digest, in a registry that the tasks can reach."
  type        = string
}

variable "app_image" {
  description = "The image of your application."
  type        = string
}

variable "app_command" {
  description = "The command of your application. If empty, the image's own command runs."
  type        = list(string)
  default     = []
}

variable "app_stop_seconds" {
  description = "The time that your application has to end its work after SIGTERM. After this time ECS kills it. The sidecar keeps the lease meanwhile. A Spot task has two minutes in all, of which the sidecar needs up to 30 seconds."
  type        = number
  default     = 60

  validation {
    condition     = var.app_stop_seconds >= 2 && var.app_stop_seconds <= 120
    error_message = "Fargate takes 2 to 120 seconds."
  }
}

variable "app_port" {
  description = "The port on which your application listens. Null means none."
  type        = number
  default     = null
}

variable "environment" {
  description = "Variables of your application and its migration, such as { DJANGO_SETTINGS_MODULE = \"shop.settings\" }."
  type        = map(string)
  default     = {}
}

variable "environment_files" {
  description = "The ARNs of files of variables in S3, whose names end in .env, for your application and its migration."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "Secrets of your application and its migration: for each variable the ARN in Secrets Manager or Parameter Store. ARN:KEY:: is one key of a secret in JSON."
  type        = map(string)
  default     = {}
}

variable "kms_key_arns" {
  description = "Your own keys that encrypt the secrets."
  type        = list(string)
  default     = []
}

variable "migrate_command" {
  description = "A command that runs once for each image of your application, in one task, before your application starts in any task with that image, such as [\"python\", \"manage.py\", \"migrate\"]. Empty means none."
  type        = list(string)
  default     = []
}

variable "migrate_keeps_entrypoint" {
  description = "True if the entrypoint of your image runs the command that it receives, as docker-entrypoint.sh does. The migration then has what the entrypoint sets up. False if it does not. The migration then runs without the entrypoint."
  type        = bool
  default     = true
}

variable "migrate_timeout" {
  description = "How long a task waits for the migration in another task. It does not limit a migration that runs in the same task."
  type        = string
  default     = "30m"
}

variable "table_name" {
  description = "A table that exists already. If empty, the module creates one, which Terraform then refuses to destroy."
  type        = string
  default     = ""
}

variable "cluster_name" {
  description = "The cluster. It must exist."
  type        = string
}

variable "task_role_arn" {
  description = "A task role that exists already, with the rights of deploy/iam/dynamodb-policy.json beside those of your application. If empty, the module creates one."
  type        = string
  default     = ""
}

variable "execution_role_arn" {
  description = "An execution role that exists already, with which ECS can pull the images and read the secrets. If empty, the module creates one."
  type        = string
  default     = ""
}

variable "security_group_ids" {
  description = "Security groups that exist already, for the tasks. If empty, the module creates one, which admits only the load balancer, if there is one."
  type        = list(string)
  default     = []
}

variable "target_group_arn" {
  description = "The target group of a load balancer, of target type ip, for app_port. Empty means no load balancer."
  type        = string
  default     = ""
}

variable "load_balancer_security_group_id" {
  description = "The security group of the load balancer. The created group admits it."
  type        = string
  default     = ""
}

variable "health_check_grace_seconds" {
  description = "The time that your application has from its own start until the load balancer finds it healthy. A migration needs none of it, because the task is still PENDING meanwhile."
  type        = number
  default     = 60
}

variable "enable_execute_command" {
  description = "Whether \"aws ecs execute-command\" can open a shell in the tasks."
  type        = bool
  default     = false
}

variable "wait_for_steady_state" {
  description = "Whether \"apply\" waits for the deployment, and fails with it."
  type        = bool
  default     = true
}

variable "steady_state_timeout" {
  description = "How long apply waits. It must be longer than a migration and the stop of the old tasks."
  type        = string
  default     = "60m"
}

variable "vpc_id" {
  description = "The VPC in which the tasks run."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets in two or more zones. The registry, CloudWatch Logs and DynamoDB must be reachable from them."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "True in public subnets, which have no NAT gateway. It opens no port."
  type        = bool
  default     = false
}

variable "tasks" {
  description = "The number of tasks when the service is created, and each morning with nights. Terraform does not change it later: use \"aws ecs update-service --desired-count\". With two or more, another task leads at once when the leader stops."
  type        = number
  default     = 2
}

variable "cpu" {
  description = "CPU units of a task. The migration uses them first, and then your application. The sidecar uses about 1 in 1,000."
  type        = number
  default     = 256
}

variable "memory" {
  description = "MiB of a task. The migration uses them first, and then your application. The sidecar uses about 8, and at most 64."
  type        = number
  default     = 512
}

variable "architecture" {
  description = "The architecture of both images: X86_64 or ARM64."
  type        = string
  default     = "X86_64"
}

variable "log_retention_days" {
  description = "The number of days for which CloudWatch keeps the log."
  type        = number
  default     = 30
}

variable "nights" {
  description = "When the service scales to zero and back, such as { night = \"cron(0 20 ? * MON-FRI *)\", morning = \"cron(0 7 ? * MON-FRI *)\", timezone = \"Europe/Berlin\" }. Null means never."
  type = object({
    night    = string
    morning  = string
    timezone = string
  })
  default = null
}
