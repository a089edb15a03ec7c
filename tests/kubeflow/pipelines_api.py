"""The REST API v2beta1 of Kubeflow Pipelines, as far as a submission needs it.

Paths, fields and error bodies are those of kubeflow/pipelines `backend/api/v2beta1` and of its gRPC gateway.
"""

import json

from tests.kubeflow.http_api import Answer, Api

RUNS = "/apis/v2beta1/runs"
EXPERIMENTS = "/apis/v2beta1/experiments"
HEALTH = "/apis/v2beta1/healthz"
TIME = "2025-01-01T00:00:00Z"


def error(status, code, message):
    """The body that the gateway makes of a gRPC status."""
    return Answer(status, {"error": message, "code": code, "message": message, "details": []})


def task(name, state, message=None):
    detail = {"run_id": "run-1", "task_id": f"task-{name}", "display_name": name, "create_time": TIME, "state": state}
    history = [{"update_time": TIME, "state": "RUNNING"}, {"update_time": TIME, "state": state}]
    if message:
        history[-1]["error"] = {"code": 13, "message": message, "details": []}
    return {**detail, "state_history": history, "child_tasks": []}


class PipelinesApi(Api):
    def __init__(self, multi_user=False, states=("SUCCEEDED",), tasks=()):
        super().__init__()
        self.multi_user = multi_user
        self.states = list(states)
        self.tasks = list(tasks)
        self.experiments = [{"experiment_id": "experiment-0", "display_name": "Default"}]
        self.instead = {}  # (method, path) -> Answer

    def sent(self, method, path):
        return [request for request in self.requests if (request.method, request.path) == (method, path)]

    def answer(self, request):
        key = (request.method, request.path)
        if key in self.instead:
            return self.instead[key]
        if key == ("GET", HEALTH):
            return Answer(200, {"multi_user": self.multi_user, "pipeline_store": "database"})
        if key == ("GET", EXPERIMENTS):
            (predicate,) = json.loads(request.query["filter"])["predicates"]
            found = [each for each in self.experiments if each["display_name"] == predicate["stringValue"]]
            return Answer(200, {"experiments": found, "total_size": len(found)})
        if key == ("POST", EXPERIMENTS):
            self.experiments.append({"experiment_id": f"experiment-{len(self.experiments)}", **request.body})
            return Answer(200, self.experiments[-1])
        if key == ("POST", RUNS):
            return Answer(200, {"run_id": "run-1", "created_at": TIME, "state": "PENDING", **request.body})
        if key == ("GET", f"{RUNS}/run-1"):
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return Answer(200, {"run_id": "run-1", "state": state, "run_details": {"task_details": self.tasks}})
        return error(404, 5, "Not Found")
