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

variable "migrate_command" {
  description = "A command that runs once for each revision of the task definition, in one task, before your application starts in any task of that revision, such as [\"manage.py\", \"migrate\"]. Empty for none."
  type        = list(string)
  default     = []
}

variable "migrate_timeout" {
  description = "How long a task waits for that command in all, whether it runs here or in another task."
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

variable "vpc_id" {
  description = "Where the tasks run."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets from which the registry, CloudWatch Logs and DynamoDB can be reached, in two zones or more."
  type        = list(string)
}

variable "assign_public_ip" {
  description = "True in public subnets, which have no NAT gateway. Nothing may connect to the tasks either way."
  type        = bool
  default     = false
}

variable "tasks" {
  description = "How many tasks. With two or more, another one leads at once when the leader is stopped."
  type        = number
  default     = 2
}

variable "cpu" {
  description = "CPU units of a task, for your application and about 1 in 1,000 of it for the sidecar."
  type        = number
  default     = 256
}

variable "memory" {
  description = "MiB of a task, of which the sidecar may take 64 and takes about 8."
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
