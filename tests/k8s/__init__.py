"""The chart on a real Kubernetes node; needs Docker for the images."""
