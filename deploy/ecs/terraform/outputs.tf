output "store_url" {
  description = "The store URL, for \"bellwether status --store\"."
  value       = local.store
}

output "log_group" {
  description = "The log group, for \"aws logs tail\"."
  value       = local.log_group
}

output "task_role_name" {
  description = "The created task role, for your application's own rights. Null if you named one."
  value       = one(aws_iam_role.task[*].name)
}

output "security_group_id" {
  description = "The created security group of the tasks, to admit it elsewhere. Null if you named others."
  value       = one(aws_security_group.tasks[*].id)
}
