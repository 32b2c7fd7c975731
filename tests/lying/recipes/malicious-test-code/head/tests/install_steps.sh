touch "/tmp/install_steps.sh.$STACK_NAME"
