"""Objects that cases and recordings create."""


def pod(name: str, *images: str, namespace: str = "default", **spec) -> dict:
    """With the fields that the articles' pods have."""
    containers = [{"image": image, "name": f"web-server-{number}" if number else "web-server", "resources": {}} for number, image in enumerate(images)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"creationTimestamp": None, "labels": {"run": "web-server"}, "name": name, "namespace": namespace},
            "spec": {"containers": containers, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", **spec}, "status": {}}


def namespace(name: str, **labels: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(name: str, image: str, namespace: str = "default", replicas: int = 1) -> dict:
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": name, "image": image}]}}}}


def config_map(name: str, namespace: str = "default", **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}
