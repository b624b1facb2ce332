def small_project(root):
    raise NotImplementedError
