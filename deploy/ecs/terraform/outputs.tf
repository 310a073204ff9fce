output "store_url" {
  description = "For \"bellwether status --store\"."
  value       = local.store
}

output "log_group" {
  description = "For \"aws logs tail\"."
  value       = local.log_group
}

output "task_role_name" {
  description = "The role for your application's own rights."
  value       = aws_iam_role.task.name
}
